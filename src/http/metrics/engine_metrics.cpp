// Families of the engine. The buckets reach from a small model on a GPU to a large one on a CPU.
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "http/metrics/metrics.h"

namespace easel::http {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

const Buckets kWorkSeconds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60};
const Buckets kRequestSeconds = {0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600};
const Buckets kBatchRows = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32};

const char* label(RequestOutcome outcome) {
  switch (outcome) {
    case RequestOutcome::kSucceeded:
      return "drawn";
    case RequestOutcome::kFailed:
      return "failed";
    case RequestOutcome::kCancelled:
      return "cancelled";
    case RequestOutcome::kTimedOut:
      return "timed_out";
    case RequestOutcome::kUnavailable:
      return "unavailable";
  }
  return "failed";
}

const char* label(RejectionReason reason) {
  switch (reason) {
    case RejectionReason::kQueueFull:
      return "full";
    case RejectionReason::kWorkLimit:
      return "too_much_work";
    case RejectionReason::kAccountLimit:
      return "account_limit";
    case RejectionReason::kDraining:
      return "draining";
  }
  return "full";
}

Family<Counter>& counters(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
Family<Gauge>& gauges(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
Family<Histogram>& histograms(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

}  // namespace

struct PrometheusMetrics::EngineFamilies {
  explicit EngineFamilies(prometheus::Registry& r)
      : queue(gauges(r, "easel_queue_requests", "Accepted requests that have not ended: waiting, or being generated.")),
        wait(histograms(r, "easel_request_wait_seconds", "Time from acceptance until the first image is started.")),
        ended(counters(r, "easel_requests_total", "Accepted requests that have ended, by outcome.")),
        seconds(histograms(r, "easel_request_seconds", "Time from acceptance to the end, whatever the outcome.")),
        images(counters(r, "easel_pictures_total", "Images delivered.")),
        refused(counters(r, "easel_refusals_total", "Requests that were not accepted, by reason.")),
        begin(histograms(r, "easel_begin_seconds", "Device time to encode prompts and generate noise.")),
        step(histograms(r, "easel_step_seconds", "Device time of a step, for any number of rows.")),
        rows(histograms(r, "easel_step_rows", "UNet rows of a step; an image with guidance has two.")),
        decode(histograms(r, "easel_decode_seconds", "Device time of a decode.")),
        shrunk(counters(r, "easel_batch_shrinks_total", "Steps that ran out of memory and made batches smaller.")),
        limit(gauges(r, "easel_batch_limit_pictures", "Largest number of images in a step since memory ran out.")),
        loads(counters(r, "easel_model_loads_total", "Loads of a model, by result.")),
        load(histograms(r, "easel_model_load_seconds", "Time to load a model.")),
        unloads(counters(r, "easel_model_unloads_total",
                         "Unloads of a model: evicted to make room for another, or released.")),
        memory(gauges(r, "easel_model_memory_bytes", "Device memory reserved for a model.")) {}

  Family<Gauge>& queue;
  Family<Histogram>& wait;
  Family<Counter>& ended;
  Family<Histogram>& seconds;
  Family<Counter>& images;
  Family<Counter>& refused;
  Family<Histogram>& begin;
  Family<Histogram>& step;
  Family<Histogram>& rows;
  Family<Histogram>& decode;
  Family<Counter>& shrunk;
  Family<Gauge>& limit;
  Family<Counter>& loads;
  Family<Histogram>& load;
  Family<Counter>& unloads;
  Family<Gauge>& memory;
};

std::shared_ptr<PrometheusMetrics::EngineFamilies> PrometheusMetrics::add_engine_families(
    prometheus::Registry& registry) {
  return std::make_shared<EngineFamilies>(registry);
}

void PrometheusMetrics::on_queue(std::size_t waiting, std::size_t drawing) {
  engine_->queue.Add({{"state", "waiting"}}).Set(static_cast<double>(waiting));
  engine_->queue.Add({{"state", "drawing"}}).Set(static_cast<double>(drawing));
}

void PrometheusMetrics::on_started(const std::string& model, double waited) {
  engine_->wait.Add({{"model", model}}, kRequestSeconds).Observe(waited);
}

void PrometheusMetrics::on_ended(const std::string& model, RequestOutcome outcome, double seconds,
                                 std::int64_t images) {
  engine_->ended.Add({{"model", model}, {"outcome", label(outcome)}}).Increment();
  engine_->seconds.Add({{"model", model}}, kRequestSeconds).Observe(seconds);
  engine_->images.Add({{"model", model}}).Increment(static_cast<double>(images));
}

void PrometheusMetrics::on_rejected(const std::string& model, RejectionReason reason) {
  engine_->refused.Add({{"model", model}, {"reason", label(reason)}}).Increment();
}

void PrometheusMetrics::on_begin(const ModelLabels& at, std::int64_t images, double seconds) {
  engine_->begin.Add({{"device", at.device}, {"model", at.model}}, kWorkSeconds).Observe(seconds);
}

void PrometheusMetrics::on_step(const ModelLabels& at, int rows, int images, double seconds) {
  engine_->step.Add({{"device", at.device}, {"model", at.model}}, kWorkSeconds).Observe(seconds);
  engine_->rows.Add({{"device", at.device}, {"model", at.model}}, kBatchRows).Observe(rows);
}

void PrometheusMetrics::on_decode(const ModelLabels& at, double seconds) {
  engine_->decode.Add({{"device", at.device}, {"model", at.model}}, kWorkSeconds).Observe(seconds);
}

void PrometheusMetrics::on_batch_shrunk(const ModelLabels& at, int images) {
  engine_->shrunk.Add({{"device", at.device}, {"model", at.model}}).Increment();
  engine_->limit.Add({{"device", at.device}, {"model", at.model}}).Set(images);
}

void PrometheusMetrics::on_loaded(const ModelLabels& at, double seconds, std::int64_t bytes) {
  engine_->loads.Add({{"device", at.device}, {"model", at.model}, {"result", "loaded"}}).Increment();
  engine_->load.Add({{"device", at.device}, {"model", at.model}}, kRequestSeconds).Observe(seconds);
  engine_->memory.Add({{"device", at.device}, {"model", at.model}}).Set(static_cast<double>(bytes));
}

void PrometheusMetrics::on_load_failed(const ModelLabels& at, double seconds) {
  engine_->loads.Add({{"device", at.device}, {"model", at.model}, {"result", "failed"}}).Increment();
}

void PrometheusMetrics::on_unloaded(const ModelLabels& at, std::int64_t bytes, bool evicted) {
  engine_->unloads.Add({{"device", at.device}, {"model", at.model}, {"reason", evicted ? "evicted" : "released"}})
      .Increment();
  engine_->memory.Add({{"device", at.device}, {"model", at.model}}).Set(0);
}

}  // namespace easel::http
