// Families of HTTP and of the process, and the text of all metrics.
#include "http/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/background_log.h"
#include "core/mutex.h"

namespace easel::http {
namespace {

constexpr std::array<std::string_view, 7> kMethods = {"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"};
constexpr char kOther[] = "other";

// From a status page to an image generated on a CPU.
const prometheus::Histogram::BucketBoundaries kHttpRequestSeconds = {0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1,   2.5,
                                                                     5,     10,   30,   60,  120,  300, 600, 1800};

std::string method_label(std::string_view method) {
  return std::find(kMethods.begin(), kMethods.end(), method) == kMethods.end() ? kOther : std::string(method);
}

// As the kernel counts it; 0 where /proc is not available.
double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

struct PrometheusMetrics::HttpFamilies {
  explicit HttpFamilies(prometheus::Registry& registry)
      : requests(prometheus::BuildCounter()
                     .Name("easel_http_requests_total")
                     .Help("Requests by route, method and status; 499: the client left before the response.")
                     .Register(registry)),
        seconds(prometheus::BuildHistogram()
                    .Name("easel_http_request_seconds")
                    .Help("Time from a request's head to its response, by route.")
                    .Register(registry)),
        resident(prometheus::BuildGauge()
                     .Name("process_resident_memory_bytes")
                     .Help("Host memory that the process holds.")
                     .Register(registry)
                     .Add({})),
        dropped_log_lines(prometheus::BuildCounter()
                              .Name("easel_log_lines_dropped_total")
                              .Help("Log lines that were dropped because the reader of the log did not take them.")
                              .Register(registry)
                              .Add({})) {}

  // The log counts for itself, because it is below this layer.
  void count_dropped_log_lines() {
    const MutexLock lock(mutex);
    const auto total = static_cast<double>(log::dropped_lines());
    dropped_log_lines.Increment(std::max(0.0, total - dropped_log_lines.Value()));
  }

  prometheus::Family<prometheus::Counter>& requests;
  prometheus::Family<prometheus::Histogram>& seconds;
  prometheus::Gauge& resident;
  prometheus::Counter& dropped_log_lines;
  Mutex mutex;  // of the step from one count to the next
};

struct PrometheusMetrics::DeviceFamilies {
  DeviceFamilies(prometheus::Registry& registry, std::function<std::vector<DeviceMemory>()> device_memory)
      : ask(std::move(device_memory)),
        memory(prometheus::BuildGauge()
                   .Name("easel_device_memory_bytes")
                   .Help("Memory of a GPU: allocated by tensors, reserved by libtorch, free for every program, total.")
                   .Register(registry)),
        out_of_memory(prometheus::BuildGauge()
                          .Name("easel_device_out_of_memory")
                          .Help("Allocations on a GPU that failed since the start.")
                          .Register(registry)),
        retries(prometheus::BuildGauge()
                    .Name("easel_device_allocation_retries")
                    .Help("Allocations on a GPU that succeeded after libtorch gave back what it kept.")
                    .Register(registry)) {}

  const std::function<std::vector<DeviceMemory>()> ask;
  prometheus::Family<prometheus::Gauge>& memory;
  prometheus::Family<prometheus::Gauge>& out_of_memory;
  prometheus::Family<prometheus::Gauge>& retries;
};

void PrometheusMetrics::collect_devices() {
  if (!devices_) return;
  for (const auto& each : devices_->ask()) {
    const auto set = [&](const char* kind, std::int64_t bytes) {
      devices_->memory.Add({{"device", each.device}, {"kind", kind}}).Set(static_cast<double>(bytes));
    };
    set("allocated", each.allocated);
    set("reserved", each.reserved);
    set("free", each.free);
    set("total", each.total);
    devices_->out_of_memory.Add({{"device", each.device}}).Set(static_cast<double>(each.out_of_memory));
    devices_->retries.Add({{"device", each.device}}).Set(static_cast<double>(each.retries));
  }
}

PrometheusMetrics::PrometheusMetrics(const std::string& version,
                                     std::function<std::vector<DeviceMemory>()> device_memory)
    : registry_(std::make_unique<prometheus::Registry>()),
      http_(std::make_unique<HttpFamilies>(*registry_)),
      engine_(add_engine_families(*registry_)),
      devices_(device_memory ? std::make_unique<DeviceFamilies>(*registry_, std::move(device_memory)) : nullptr) {
  prometheus::BuildGauge()
      .Name("easel_build_info")
      .Help("Always 1; which easel this is.")
      .Register(*registry_)
      .Add({{"version", version}})
      .Set(1);
}

PrometheusMetrics::~PrometheusMetrics() = default;

void PrometheusMetrics::count_request(std::string_view route, std::string_view method, int status, double seconds) {
  const std::string path = route.empty() ? kOther : std::string(route);
  http_->requests.Add({{"route", path}, {"method", method_label(method)}, {"status", std::to_string(status)}})
      .Increment();
  http_->seconds.Add({{"route", path}}, kHttpRequestSeconds).Observe(seconds);
}

std::string PrometheusMetrics::text() {
  http_->resident.Set(resident_bytes());
  http_->count_dropped_log_lines();
  collect_devices();
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, registry_->Collect());
  return out.str();
}

}  // namespace easel::http

namespace easel {

std::shared_ptr<ServerMetrics> make_metrics(const std::string& version,
                                            std::function<std::vector<DeviceMemory>()> device_memory) {
  return std::make_shared<http::PrometheusMetrics>(version, std::move(device_memory));
}

}  // namespace easel
