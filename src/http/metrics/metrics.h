// Metrics for Prometheus: what GET /metrics answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "easel/server.h"

namespace prometheus {
class Registry;
}

namespace easel::http {

/// As make_metrics() describes it. Thread-safe.
class PrometheusMetrics final : public ServerMetrics {
 public:
  /// As make_metrics().
  explicit PrometheusMetrics(const std::string& version, std::function<std::vector<DeviceMemory>()> device_memory = {});
  ~PrometheusMetrics() override;

  void count_request(std::string_view route, std::string_view method, int status, double seconds) override;
  std::string text() override;

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
  struct DeviceFamilies;

  void collect_devices();
  static std::shared_ptr<EngineFamilies> add_engine_families(prometheus::Registry& registry);

  const std::unique_ptr<prometheus::Registry> registry_;
  const std::unique_ptr<HttpFamilies> http_;
  const std::shared_ptr<EngineFamilies> engine_;
  const std::unique_ptr<DeviceFamilies> devices_;  // null: there are no GPUs
};

/// Content-Type of ServerMetrics::text().
inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace easel::http
