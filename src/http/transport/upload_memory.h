// A bound on the memory of all request bodies together.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <string>

#include "core/mutex.h"
#include "http/transport/account_usage.h"
#include "http/transport/client.h"
#include "http/transport/request_head.h"

namespace easel::http {

/// Memory that requests take before their bodies are read, and give back when the bodies have been used. Thread-safe.
///
/// A quarter of it is only for small bodies, so that uploads do not keep out requests for images from text. No account
/// holds more than half of it while another account waits. Apart from that, requests get memory in the order in which
/// they ask for it.
class UploadMemory {
 public:
  static constexpr std::size_t kSmallBody = std::size_t{1} << 20;

  /// @param bytes  in all
  /// @param wait   longest time that a request waits
  UploadMemory(std::size_t bytes, std::chrono::milliseconds wait) : bytes_(bytes), wait_(wait), usage_(bytes) {}

  /// The largest body that can be received.
  std::size_t max_body() const { return bytes_ - bytes_ / 4; }
  /// Waits until the account gets so much more.
  /// @param held  by the same request already
  /// @return false if it got none within the time, or before end_waiting() was called
  bool take(const std::string& account, std::size_t held, std::size_t bytes);
  void give_back(const std::string& account, std::size_t bytes);
  /// Nobody waits from now on, because the server ends: take() returns false where it would wait.
  void end_waiting();
  bool is_ending() const;

 private:
  struct Waiting {
    const std::string& account;
    std::size_t bytes;
    bool small;
  };
  bool fits(const Waiting& request) const EASEL_REQUIRES(mutex_);
  bool is_next(std::list<Waiting>::const_iterator request) const EASEL_REQUIRES(mutex_);

  const std::size_t bytes_;
  const std::chrono::milliseconds wait_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool ending_ EASEL_GUARDED_BY(mutex_) = false;
  AccountUsage usage_ EASEL_GUARDED_BY(mutex_);
  std::list<Waiting> waiting_ EASEL_GUARDED_BY(mutex_);  // longest first
};

/// A client whose body takes memory before it is received. The memory is given back with the object. Used by one
/// thread.
class BudgetedClient final : public Client {
 public:
  /// All of them must outlive the object.
  BudgetedClient(Client& client, const RequestHead& head, UploadMemory& memory, const std::string& account)
      : client_(client), head_(head), memory_(memory), account_(account) {}
  ~BudgetedClient() override { memory_.give_back(account_, held_); }
  BudgetedClient(const BudgetedClient&) = delete;
  BudgetedClient& operator=(const BudgetedClient&) = delete;

  /// A body whose length is not declared takes 8 MiB at a time.
  /// @throws ProtocolError  as Client; 429: there was no memory within the time; 503: the server ends. The body is not
  ///                        read further then
  void receive_body(std::size_t max_bytes, const Sink& sink) override;
  const std::string& address() const override { return client_.address(); }
  bool gone() override { return client_.gone(); }

 private:
  void take(std::size_t bytes);

  Client& client_;
  const RequestHead& head_;
  UploadMemory& memory_;
  const std::string& account_;
  std::size_t held_ = 0;
};

}  // namespace easel::http
