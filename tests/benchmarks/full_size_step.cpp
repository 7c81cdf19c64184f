// Encodes a prompt and makes an image's only step on the CPU in bfloat16, several times, and writes what full_size.py
// compares with diffusers: the prompt's embeddings, the latents before and after the step, and the seconds that each
// part took.
#include <ATen/core/Tensor.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/registry.h"
#include "weights/convert/safetensors_writer.h"

namespace easel {
namespace {

using Clock = std::chrono::steady_clock;

/// What a part took: on the clock, and of the processors.
struct Took {
  double seconds = 0;
  double processor_seconds = 0;
};

Took measure(const std::function<void()>& part) {
  const auto start = Clock::now();
  const auto processor_start = std::clock();
  part();
  return {.seconds = std::chrono::duration<double>(Clock::now() - start).count(),
          .processor_seconds = static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC};
}

/// Resident memory of this process. @param which  "VmHWM:" for the most so far, or "VmRSS:" for that of now
std::int64_t memory_bytes(const std::string& which) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(which)) return std::stoll(line.substr(which.size())) * 1024;
  }
  throw Error(ErrorCode::kInternal, "the kernel does not say " + which);
}

/// The bytes of the denoiser's weights, as `easel models` estimates them.
std::int64_t denoiser_bytes(const ModelDescription& model) {
  std::int64_t bytes = 0;
  for (const auto& component : model.components) {
    if (component.name != "transformer") continue;
    for (const auto& [form, count] : component.memory_bytes) bytes += count;
  }
  return bytes;
}

/// @param variant  of the denoiser's weights; empty: the plain files
std::unique_ptr<Pipeline> load(const std::string& folder, const std::string& variant) {
  PipelineOptions options;
  options.placement = make_placement("cpu", "bfloat16");
  options.placement.release_text_encoders = true;
  options.estimate_activations = false;
  return open_model("m", folder, options, {.variant = variant}).load({}, {});
}

std::unique_ptr<Generation> begin(Pipeline& pipeline, const nlohmann::json& o) {
  GenerationRequest request;
  request.model = "m";
  request.prompt = o.at("prompt");
  request.seed = o.at("seed");
  request.width = o.at("width");
  request.height = o.at("height");
  request.num_inference_steps = 1;
  request.guidance_scale = o.at("guidance_scale");
  auto ticket = pipeline.begin(request, {});
  ticket->wait();
  return std::move(ticket->take().at(0));
}

std::map<std::string, at::Tensor> inputs_of(const DiffusionGeneration& generation) {
  const auto& conditioning = generation.phase().conditioning;
  std::map<std::string, at::Tensor> tensors{{"start", generation.latents.clone()},
                                            {"prompt_embeds", conditioning.prompt_embeds}};
  if (conditioning.text_embeds.defined()) tensors["pooled"] = conditioning.text_embeds;
  return tensors;
}

void run(const nlohmann::json& o) {
  const auto before = memory_bytes("VmRSS:");
  const auto pipeline = load(o.at("checkpoint"), o.at("variant"));
  std::map<std::string, at::Tensor> tensors;
  std::vector<double> step_s, step_processor_s;
  Took prompt;
  double first_step_clock = 0;
  for (int round = 0; round < o.at("rounds"); ++round) {
    std::unique_ptr<Generation> generation;
    const auto took = measure([&] { generation = begin(*pipeline, o); });
    const auto& state = static_cast<const DiffusionGeneration&>(*generation);
    if (round == 0) {
      prompt = took;
      tensors = inputs_of(state);
      first_step_clock = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
    }
    Generation* row = generation.get();
    const auto step = measure([&] { pipeline->step({&row, 1}, {})->wait(); });
    step_s.push_back(step.seconds);
    step_processor_s.push_back(step.processor_seconds);
    tensors["first"] = state.latents;
  }
  write_safetensors(o.at("output"), tensors);
  std::cout << nlohmann::json{{"encode_s", prompt.seconds},
                              {"encode_processor_s", prompt.processor_seconds},
                              {"first_step_clock", first_step_clock},
                              {"step_s", step_s},
                              {"step_processor_s", step_processor_s},
                              {"denoiser_bytes", denoiser_bytes(pipeline->description())},
                              {"resident_bytes", memory_bytes("VmRSS:") - before},
                              {"vm_hwm_bytes", memory_bytes("VmHWM:")}}
            << '\n';
}

}  // namespace
}  // namespace easel

int main(int argc, char** argv) try {
  if (argc != 2) throw easel::Error(easel::ErrorCode::kInvalidArgument, "usage: full_size_step OPTIONS-AS-JSON");
  easel::run(nlohmann::json::parse(argv[1]));
  return 0;
} catch (const std::exception& error) {
  std::cerr << "full_size_step: " << error.what() << '\n';
  return 1;
}
