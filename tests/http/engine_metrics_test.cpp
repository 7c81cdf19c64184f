// What the engine reports, as Prometheus reads it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/metrics/metrics.h"

namespace easel::http {
namespace {

using testing::HasSubstr;
using testing::Not;

// A model on the device of these tests.
struct At {
  explicit At(std::string name) : model(std::move(name)) {}
  std::string model, device = "gpu";
  ModelLabels at{model, device};
};

TEST(DeviceMetrics, MemoryOfEachGpuIsReadForEachResponse) {
  std::int64_t allocated = 10;
  PrometheusMetrics metrics("1", [&] {
    return std::vector<DeviceMemory>{{.device = "cuda:0",
                                      .allocated = allocated,
                                      .reserved = 20,
                                      .free = 70,
                                      .total = 100,
                                      .out_of_memory = 2,
                                      .retries = 3}};
  });
  EXPECT_THAT(metrics.text(), HasSubstr("easel_device_memory_bytes{device=\"cuda:0\",kind=\"allocated\"} 10"));
  allocated = 15;
  const auto text = metrics.text();
  for (const char* line :
       {"easel_device_memory_bytes{device=\"cuda:0\",kind=\"allocated\"} 15",
        "easel_device_memory_bytes{device=\"cuda:0\",kind=\"reserved\"} 20",
        "easel_device_memory_bytes{device=\"cuda:0\",kind=\"free\"} 70",
        "easel_device_memory_bytes{device=\"cuda:0\",kind=\"total\"} 100",
        "easel_device_out_of_memory{device=\"cuda:0\"} 2", "easel_device_allocation_retries{device=\"cuda:0\"} 3"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(PrometheusMetrics("1").text(), Not(HasSubstr("easel_device_"))) << "a CPU has none";
}

TEST(EngineMetrics, EveryEventIsCounted) {
  PrometheusMetrics metrics("1");
  metrics.on_queue(3, 2);
  metrics.on_started("m", 0.2);
  metrics.on_ended("m", RequestOutcome::kSucceeded, 5.0, 4);
  metrics.on_ended("m", RequestOutcome::kCancelled, 1.0, 0);
  metrics.on_ended("m", RequestOutcome::kTimedOut, 1.0, 0);
  metrics.on_ended("m", RequestOutcome::kFailed, 1.0, 0);
  metrics.on_ended("m", RequestOutcome::kUnavailable, 1.0, 0);
  metrics.on_rejected("m", RejectionReason::kQueueFull);
  metrics.on_rejected("m", RejectionReason::kWorkLimit);
  metrics.on_rejected("m", RejectionReason::kAccountLimit);
  metrics.on_rejected("m", RejectionReason::kDraining);
  metrics.on_begin(At("m").at, 2, 0.05);
  metrics.on_step(At("m").at, 4, 2, 0.5);
  metrics.on_step(At("m").at, 2, 1, 0.25);
  metrics.on_decode(At("m").at, 1.5);
  metrics.on_batch_shrunk(At("m").at, 3);
  metrics.on_loaded(At("m").at, 7.0, 1000);
  metrics.on_load_failed(At("n").at, 1.0);
  const auto text = metrics.text();
  for (const char* line : {"easel_queue_requests{state=\"waiting\"} 3",
                           "easel_queue_requests{state=\"drawing\"} 2",
                           "easel_request_wait_seconds_sum{model=\"m\"} 0.2",
                           "easel_requests_total{model=\"m\",outcome=\"drawn\"} 1",
                           "easel_requests_total{model=\"m\",outcome=\"cancelled\"} 1",
                           "easel_requests_total{model=\"m\",outcome=\"timed_out\"} 1",
                           "easel_requests_total{model=\"m\",outcome=\"failed\"} 1",
                           "easel_requests_total{model=\"m\",outcome=\"unavailable\"} 1",
                           "easel_request_seconds_count{model=\"m\"} 5",
                           "easel_pictures_total{model=\"m\"} 4",
                           "easel_refusals_total{model=\"m\",reason=\"full\"} 1",
                           "easel_refusals_total{model=\"m\",reason=\"too_much_work\"} 1",
                           "easel_refusals_total{model=\"m\",reason=\"account_limit\"} 1",
                           "easel_refusals_total{model=\"m\",reason=\"draining\"} 1",
                           "easel_begin_seconds_sum{device=\"gpu\",model=\"m\"} 0.05",
                           "easel_step_seconds_sum{device=\"gpu\",model=\"m\"} 0.75",
                           "easel_step_rows_sum{device=\"gpu\",model=\"m\"} 6",
                           "easel_step_rows_bucket{device=\"gpu\",model=\"m\",le=\"2\"} 1",
                           "easel_step_rows_bucket{device=\"gpu\",model=\"m\",le=\"4\"} 2",
                           "easel_decode_seconds_sum{device=\"gpu\",model=\"m\"} 1.5",
                           "easel_batch_shrinks_total{device=\"gpu\",model=\"m\"} 1",
                           "easel_batch_limit_pictures{device=\"gpu\",model=\"m\"} 3",
                           "easel_model_loads_total{device=\"gpu\",model=\"m\",result=\"loaded\"} 1",
                           "easel_model_loads_total{device=\"gpu\",model=\"n\",result=\"failed\"} 1",
                           "easel_model_load_seconds_sum{device=\"gpu\",model=\"m\"} 7",
                           "easel_model_memory_bytes{device=\"gpu\",model=\"m\"} 1000"}) {
    EXPECT_THAT(text, HasSubstr(line + std::string("\n")));
  }
}

TEST(EngineMetrics, MemoryGaugeFollowsLoadsAndUnloads) {
  PrometheusMetrics metrics("1");
  metrics.on_loaded(At("m").at, 7.0, 1000);
  metrics.on_unloaded(At("m").at, 1000, /*evicted=*/true);
  EXPECT_THAT(metrics.text(), HasSubstr("easel_model_memory_bytes{device=\"gpu\",model=\"m\"} 0\n"));
  EXPECT_THAT(metrics.text(),
              HasSubstr("easel_model_unloads_total{device=\"gpu\",model=\"m\",reason=\"evicted\"} 1\n"));
  metrics.on_loaded(At("m").at, 7.0, 1000);
  metrics.on_unloaded(At("m").at, 1000, /*evicted=*/false);
  EXPECT_THAT(metrics.text(),
              HasSubstr("easel_model_unloads_total{device=\"gpu\",model=\"m\",reason=\"released\"} 1\n"));
}

TEST(EngineMetrics, ModelNamesAreEscapedInLabels) {
  PrometheusMetrics metrics("1");
  metrics.on_decode(At("a\"b\\c\nd").at, 1);
  EXPECT_THAT(metrics.text(), HasSubstr(R"(easel_decode_seconds_count{device="gpu",model="a\"b\\c\nd"} 1)"));
}

}  // namespace
}  // namespace easel::http
