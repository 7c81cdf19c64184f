// Figures for Prometheus: what GET /metrics answers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "http/routes.h"

namespace prometheus {
class Registry;
}

namespace easel::http {

/// Counts since the start of the process. Thread-safe.
///
/// Every label's value comes from a fixed list, the models served or the statuses easel sends: nothing that a client
/// makes up can add a time series.
class Metrics {
 public:
  /// @param version  of the program, shown as a label of easel_build_info
  explicit Metrics(const std::string& version);
  ~Metrics();

  /// @param route   nullptr: the path is unknown, or does not take the method, or the request could not be read
  /// @param status  499 when the client left before its answer
  void count_request(const Route* route, std::string_view method, int status, double seconds);

  /// All figures in Prometheus' text format 0.0.4.
  std::string text();

  /// Where more families may be added.
  prometheus::Registry& registry() { return *registry_; }

 private:
  struct Families;

  const std::unique_ptr<prometheus::Registry> registry_;
  const std::unique_ptr<Families> families_;
};

/// Of the text that Metrics::text gives.
inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace easel::http
