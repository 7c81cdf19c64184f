// easel draw: runs one request without engine or server, with a progress bar.
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "app/allocator.h"
#include "app/command_line/commands.h"
#include "app/command_line/hires_flags.h"
#include "app/command_line/like.h"
#include "app/compute_threads.h"
#include "app/metadata_options.h"
#include "app/models/last_use.h"
#include "app/models/model_list.h"
#include "core/text.h"
#include "easel/image_file.h"
#include "easel/image_output.h"
#include "http/openai/fields/unused_fields.h"
#include "http/openai/jobs/hires_parts.h"
#include "provenance/image_record.h"
#include "tensor/placement.h"
#include "weights/format/atomic_file.h"

namespace easel {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// How long each stage took; written as JSON for benchmarks.
struct Timings {
  double load_s = 0, encode_s = 0, decode_s = 0, total_s = 0;
  double first_step_clock = 0;  ///< CLOCK_MONOTONIC when the first step starts
  std::vector<double> step_s;
  std::vector<long> step_page_faults;  ///< how often the kernel had to provide memory within each step
};

/// Page faults of this process so far.
long page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

/// Peak resident memory of this process in bytes, as counted by the kernel; 0 where it does not count.
std::int64_t peak_memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

std::string timings_text(const Timings& timings) {
  return nlohmann::json{{"load_s", timings.load_s},
                        {"encode_s", timings.encode_s},
                        {"first_step_clock", timings.first_step_clock},
                        {"step_s", timings.step_s},
                        {"step_page_faults", timings.step_page_faults},
                        {"decode_s", timings.decode_s},
                        {"total_s", timings.total_s},
                        {"vm_hwm_bytes", peak_memory_bytes()}}
             .dump(2) +
         "\n";
}

/// A line that is redrawn on a terminal. Prints nothing elsewhere.
class ProgressBar {
 public:
  explicit ProgressBar(std::int64_t total) : total_(total), shown_(isatty(STDERR_FILENO) != 0) {}
  ~ProgressBar() {
    if (shown_) std::fputc('\n', stderr);
  }
  void advance(double step_seconds) {
    ++done_;
    spent_ += step_seconds;
    if (!shown_) return;
    constexpr int kWidth = 30;
    const int filled = static_cast<int>(kWidth * done_ / total_);
    const double each = spent_ / static_cast<double>(done_);
    std::fprintf(stderr, "\r[%s%s] step %lld/%lld  %.2f s/step  %.0f s left ", std::string(filled, '#').c_str(),
                 std::string(kWidth - filled, '.').c_str(), static_cast<long long>(done_),
                 static_cast<long long>(total_), each, each * static_cast<double>(total_ - done_));
    std::fflush(stderr);
  }

 private:
  std::int64_t total_, done_ = 0;
  double spent_ = 0;
  bool shown_;
};

/// cat.png, then cat-2.png, cat-3.png, ...
std::string numbered_path(const std::string& output, std::size_t index) {
  if (index == 0) return output;
  std::filesystem::path path(output);
  const auto name = concat(path.stem().string(), "-", index + 1, path.extension().string());
  return path.replace_filename(name).string();
}

/// Checks early, so that no time is spent on an image that cannot be saved.
void check_writable(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  const auto target = std::filesystem::exists(path) ? path : folder.empty() ? "." : folder.string();
  if (std::filesystem::is_directory(path) || access(target.c_str(), W_OK) != 0) {
    throw Error(ErrorCode::kUnavailable, concat("cannot write ", path));
  }
}

/// Whether the file can be written under another name in its folder and then renamed. False for devices and pipes, and
/// where only the file itself is writable.
bool replaceable(const std::filesystem::path& path) {
  const auto folder = path.parent_path();
  const bool regular = !std::filesystem::exists(path) || std::filesystem::is_regular_file(path);
  return regular && access(folder.empty() ? "." : folder.c_str(), W_OK) == 0;
}

/// Where possible, the file appears complete or not at all, and one that was there before stays until then.
void write_file(const std::string& path, const std::string& bytes) {
  const auto target = std::filesystem::exists(path) ? std::filesystem::canonical(path).string() : path;
  if (replaceable(target)) {
    AtomicFile file(target);
    file.write(bytes);
    file.commit();
    return;
  }
  std::ofstream file(target, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw Error(ErrorCode::kUnavailable, concat("cannot write ", path));
}

DecodedImage read_image(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  if (!file) throw Error(ErrorCode::kNotFound, concat("cannot read ", path));
  try {
    return decode_image(bytes);
  } catch (const Error& e) {
    throw Error(e.code(), concat(path, ": ", e.what()));
  }
}

/// As the server does: what the model cannot use is said, or with --strict refused.
void drop_fields_without_use(GenerationRequest& request, const ModelDescription& model, bool strict) {
  auto unused = http::drop_unused_fields(request, model);
  if (request.hires && request.image) {
    unused.push_back({"hires", "has a use without --image only"});
    request.hires.reset();
  }
  for (const auto& [name, why] : unused) {
    if (strict) throw Error(ErrorCode::kInvalidArgument, concat("`", name, "` ", why), name);
    std::fprintf(stderr, "easel: `%s` is ignored: it %s\n", name, why.c_str());
  }
}

std::vector<GeneratedImage> generate(Pipeline& pipeline, const GenerationRequest& request, Timings& timings) {
  auto start = Clock::now();
  auto begun = pipeline.begin(request, {});
  begun->wait();
  auto generations = begun->take();
  timings.encode_s += seconds_since(start);
  if (timings.step_s.empty())
    timings.first_step_clock = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();

  const auto steps = generations[0]->progress().steps_total;
  std::vector<GeneratedImage> images;
  {
    ProgressBar bar(steps * static_cast<std::int64_t>(generations.size()));
    for (auto& generation : generations) {
      Generation* row = generation.get();
      while (!row->finished_stepping()) {
        start = Clock::now();
        const auto faults = page_faults();
        auto ticket = pipeline.step({&row, 1}, {});
        ticket->wait();
        timings.step_s.push_back(seconds_since(start));
        timings.step_page_faults.push_back(page_faults() - faults);
        if (!ticket->finite()[0]) {
          throw Error(ErrorCode::kInternal,
                      concat("the model produced infinities or NaN for seed ", row->seed(),
                             "; if they come from float16's small range, use --dtype float32 or bfloat16"));
        }
        bar.advance(timings.step_s.back());
      }
    }
  }
  start = Clock::now();
  for (auto& generation : generations) {
    Generation* row = generation.get();
    auto ticket = pipeline.finish({&row, 1}, {});
    ticket->wait();
    images.push_back(std::move(ticket->take()[0]));
    generation.reset();
  }
  timings.decode_s += seconds_since(start);
  return images;
}

/// A second pass by way of another model: both passes, and between them the other model's enlargement of each image.
std::vector<GeneratedImage> generate_in_parts(Pipeline& pipeline, const ServedModel& upscaler,
                                              const GenerationRequest& request, Timings& timings) {
  auto first = request;
  first.hires.reset();
  auto images = generate(pipeline, first, timings);
  {
    const auto enlarger = upscaler.load({}, {});
    const auto factor = upscaler.description.upscale_factor;
    for (auto& image : images) {
      const auto enlarging = http::enlarging_request(*request.hires, factor, std::move(image));
      image = std::move(generate(*enlarger, enlarging, timings).at(0));
    }
  }
  for (auto& image : images) {
    image = std::move(generate(pipeline, http::second_pass_request(request, image), timings).at(0));
  }
  return images;
}

void save(const std::vector<GeneratedImage>& images, const MetadataOf& metadata, const std::string& output) {
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto path = numbered_path(output, i);
    write_file(path, encode(images[i].image, {}, metadata(images[i])));
    std::printf("%s: %dx%d, seed %llu%s\n", path.c_str(), images[i].image.width, images[i].image.height,
                static_cast<unsigned long long>(images[i].seed),
                images[i].prompt_cut ? "; a prompt was too long and its end was cut off" : "");
  }
}

}  // namespace

int draw(const Options& options) {
  const auto start = Clock::now();
  keep_freed_memory(true);
  set_compute_threads(options.model.threads);
  make_compute_threads();
  if (options.model.tf32 == "off") allow_tf32(false);
  auto request = options.draw.request;
  for (std::int64_t i = 0; i < request.num_images; ++i) {
    check_writable(numbered_path(options.draw.output, static_cast<std::size_t>(i)));
  }
  if (!options.draw.timings.empty()) check_writable(options.draw.timings);
  if (!options.draw.image.empty()) request.image = std::make_shared<Image>(read_image(options.draw.image).image);
  if (!options.draw.mask.empty()) request.mask = std::make_shared<Image>(mask_from_file(read_image(options.draw.mask)));
  if (!options.draw.seed_given) request.seed = std::random_device{}();

  auto model_options = options.model;
  model_options.estimate_activations = false;
  auto models = list_models(model_options, find_models(model_options));
  const auto metadata = metadata_options(options);
  if (!options.draw.like.empty()) put_recorded_model_first(options, models);
  add_second_pass(options.draw.hires, models, request);
  drop_fields_without_use(request, models[0].description, options.server.strict);
  const auto* const upscaler = upscaler_of(request, models);
  const auto* const upscaling = upscaler ? &upscaler->description : nullptr;
  if (!options.draw.like.empty()) report_differences(options, request, metadata, models[0].description, upscaling);
  const auto metadata_of = metadata_of_request(request, models[0].description, metadata, upscaling);
  Timings timings;
  auto pipeline = models[0].load({}, {});
  note_use(models[0].description.folder);
  timings.load_s = seconds_since(start);
  const auto images =
      upscaling ? generate_in_parts(*pipeline, *upscaler, request, timings) : generate(*pipeline, request, timings);
  save(images, metadata_of, options.draw.output);
  timings.total_s = seconds_since(start);
  if (!options.draw.timings.empty()) write_file(options.draw.timings, timings_text(timings));
  return 0;
}

}  // namespace easel
