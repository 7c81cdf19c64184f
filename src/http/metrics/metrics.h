// Figures for Prometheus: what GET /metrics answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "easel/server.h"

namespace prometheus {
class Registry;
}

namespace easel::http {

/// Counts since the start of the process. Thread-safe.
///
/// Every label's value comes from a fixed list, the models served or the statuses easel sends: nothing that a client
/// makes up can add a time series.
class PrometheusMetrics final : public ServerMetrics {
 public:
  /// @param version  of the program, shown as a label of easel_build_info
  explicit PrometheusMetrics(const std::string& version);
  ~PrometheusMetrics() override;

  /// @param route   the canonical path; empty: the path is unknown, or does not take the method, or the request could
  ///                not be read
  /// @param status  499 when the client left before its answer
  void count_request(std::string_view route, std::string_view method, int status, double seconds);

  /// All figures in Prometheus' text format 0.0.4.
  std::string text();

  void on_queue(std::size_t waiting, std::size_t drawing) override;
  void on_started(const std::string& model, double waited) override;
  void on_ended(const std::string& model, RequestOutcome outcome, double seconds, std::int64_t images) override;
  void on_rejected(const std::string& model, RejectionReason reason) override;
  void on_begin(const ModelLabels& at, std::int64_t images, double seconds) override;
  void on_step(const ModelLabels& at, int rows, int images, double seconds) override;
  void on_decode(const ModelLabels& at, double seconds) override;
  void on_batch_shrunk(const ModelLabels& at, int images) override;
  void on_loaded(const ModelLabels& at, double seconds, std::int64_t bytes) override;
  void on_load_failed(const ModelLabels& at, double seconds) override;
  void on_unloaded(const ModelLabels& at, std::int64_t bytes, bool evicted) override;

 private:
  struct HttpFamilies;
  struct EngineFamilies;

  static std::shared_ptr<EngineFamilies> add_engine_families(prometheus::Registry& registry);

  const std::unique_ptr<prometheus::Registry> registry_;
  const std::unique_ptr<HttpFamilies> http_;
  const std::shared_ptr<EngineFamilies> engine_;
};

/// Of the text that Metrics::text gives.
inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace easel::http
