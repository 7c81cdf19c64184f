// How long connections may take, and when they must be quicker.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

namespace easel::http {

/// A head or a body must be complete in its time, however slowly its bytes come.
struct ConnectionTimeouts {
  std::chrono::milliseconds idle{60'000};  ///< between two requests
  std::chrono::milliseconds head{10'000};  ///< until the first request begins, and from a head's first byte to its last
  std::chrono::milliseconds body{30'000};  ///< for a body, and a second more for every 64 KiB of it that were received
  std::chrono::milliseconds write{30'000};  ///< for a response, and a second more for every 64 KiB of it
  std::chrono::milliseconds linger{
      2'000};  ///< for a client that still sends to read the response that ends its request
  std::chrono::milliseconds under_load{1'000};  ///< without progress, while threads or connections are short
};

/// How urgently the server needs what a connection holds.
enum class Pressure {
  kNone,
  kScarce,    ///< threads or connections are short
  kStopping,  ///< the server ends
};

/// The deadline of one transfer: a body that is received, or a response that is written. Used by one thread.
///
/// A transfer has a fixed time, and a second more for every 64 KiB. Under pressure it must also make progress of at
/// least 8 KiB per ConnectionTimeouts::under_load; if it began under pressure, it must be complete within that time.
/// Once the server stops, a body ends after ConnectionTimeouts::under_load, and a response after five times that.
class TransferDeadline {
 public:
  using Clock = std::chrono::steady_clock;

  static TransferDeadline of_body(const ConnectionTimeouts& timeouts, Pressure pressure);
  static TransferDeadline of_response(const ConnectionTimeouts& timeouts, Pressure pressure);

  /// So many more bytes were transferred.
  void progress(std::size_t bytes);

  /// So much time does not count.
  void postpone(std::chrono::nanoseconds time);

  /// The deadline as it is now.
  Clock::time_point at(Pressure pressure);

 private:
  TransferDeadline(std::chrono::milliseconds allowed, std::chrono::milliseconds under_load,
                   std::chrono::milliseconds after_stop, Pressure pressure)
      : allowed_(allowed),
        under_load_(under_load),
        after_stop_(after_stop),
        began_under_pressure_(pressure != Pressure::kNone) {}

  std::chrono::milliseconds allowed_;
  std::chrono::milliseconds under_load_;
  std::chrono::milliseconds after_stop_;
  bool began_under_pressure_;
  Clock::time_point started_ = Clock::now();
  Clock::time_point progressed_at_ = started_;
  std::size_t bytes_ = 0;
  std::size_t bytes_at_progress_ = 0;
  std::optional<Clock::time_point> stopping_since_;
};

}  // namespace easel::http
