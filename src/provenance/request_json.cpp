#include "provenance/request_json.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// Calls `visit` with the name and the value of every field.
template <class Request, class Visitor>
void visit_request(Request& r, Visitor&& visit) {
  auto& sdxl = r.micro_conditioning;
  visit("prompt", r.prompt);
  visit("negative_prompt", r.negative_prompt);
  visit("seed", r.seed);
  visit("width", r.width);
  visit("height", r.height);
  visit("num_inference_steps", r.num_inference_steps);
  visit("scheduler", r.scheduler);
  visit("guidance_scale", r.guidance_scale);
  visit("guidance_interval", r.guidance_interval);
  visit("guidance_rescale", r.guidance_rescale);
  visit("eta", r.eta);
  visit("clip_skip", r.clip_skip);
  visit("denoising_end", r.denoising_end);
  visit("strength", r.strength);
  visit("padding_mask_crop", r.padding_mask_crop);
  visit("keep_unmasked", r.keep_unmasked);
  visit("image_guidance_scale", r.image_guidance_scale);
  visit("true_cfg_scale", r.true_cfg_scale);
  visit("noise_level", r.noise_level);
  visit("timesteps", r.timesteps);
  visit("sigmas", r.sigmas);
  visit("prompt_syntax", r.prompt_syntax);
  visit("loras", r.loras);
  visit("hires", r.hires);
  visit("original_size", sdxl.original_size);
  visit("crops_coords_top_left", sdxl.crops_coords_top_left);
  visit("target_size", sdxl.target_size);
  visit("negative_original_size", sdxl.negative_original_size);
  visit("negative_crops_coords_top_left", sdxl.negative_crops_coords_top_left);
  visit("negative_target_size", sdxl.negative_target_size);
  visit("aesthetic_score", sdxl.aesthetic_score);
  visit("negative_aesthetic_score", sdxl.negative_aesthetic_score);
}

// Each field's type as JSON.

template <class T>
ordered_json value_json(const T& value) {
  return value;
}
ordered_json value_json(std::uint64_t seed) {
  return seed <= kLargestExactJsonInteger ? ordered_json(seed) : ordered_json(std::to_string(seed));
}
ordered_json value_json(const GuidanceInterval& interval) {
  return {interval.start, interval.end};
}
ordered_json value_json(PromptSyntax syntax) {
  return syntax == PromptSyntax::kPlain ? "plain" : "a1111";
}
ordered_json value_json(const std::vector<AdapterSelection>& adapters) {
  auto list = ordered_json::array();
  for (const auto& adapter : adapters) {
    ordered_json entry{{"name", adapter.name}, {"weight", adapter.weight}};
    if (adapter.text_encoder_weight) entry["text_encoder_weight"] = *adapter.text_encoder_weight;
    list.push_back(std::move(entry));
  }
  return list;
}

ordered_json value_json(const HiresPass& hires) {
  ordered_json object{{"width", hires.width},
                      {"height", hires.height},
                      {"strength", hires.strength},
                      {"upscaler", hires.upscaler_name()}};
  if (hires.num_inference_steps) object["steps"] = *hires.num_inference_steps;
  return object;
}

struct Writer {
  ordered_json& object;

  template <class T>
  void operator()(const char* name, const T& value) const {
    object[name] = value_json(value);
  }
  template <class T>
  void operator()(const char* name, const std::optional<T>& value) const {
    if (value) object[name] = value_json(*value);
  }
  template <class T>
  void operator()(const char* name, const std::vector<T>& values) const {
    if (!values.empty()) object[name] = value_json(values);
  }
  void operator()(const char* name, const std::string& text) const {
    if (!text.empty()) object[name] = text;
  }
  void operator()(const char* name, const bool& set) const {
    if (set) object[name] = true;
  }
};

template <class T>
void read_value(const json& value, T& out) {
  out = value.get<T>();
}
void read_value(const json& value, std::uint64_t& seed) {
  if (!value.is_string()) {
    seed = value.get<std::uint64_t>();
    return;
  }
  const auto& text = value.get_ref<const std::string&>();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size())
    throw Error(ErrorCode::kInvalidArgument, "`seed` is not a number", "seed");
}
void read_value(const json& value, GuidanceInterval& interval) {
  const auto ends = value.get<std::array<double, 2>>();
  interval = {.start = ends[0], .end = ends[1]};
}
void read_value(const json& value, PromptSyntax& syntax) {
  syntax = value.get<std::string>() == "a1111" ? PromptSyntax::kA1111 : PromptSyntax::kPlain;
}
void read_value(const json& value, AdapterSelection& adapter) {
  adapter.name = value.at("name").get<std::string>();
  adapter.weight = value.value("weight", 1.0);
  if (const auto found = value.find("text_encoder_weight"); found != value.end())
    adapter.text_encoder_weight = found->get<double>();
}

void read_value(const json& value, HiresPass& hires) {
  hires.width = value.at("width").get<int>();
  hires.height = value.at("height").get<int>();
  hires.strength = value.at("strength").get<double>();
  if (const auto found = value.find("steps"); found != value.end())
    hires.num_inference_steps = found->get<std::int64_t>();
  hires.set_upscaler(value.at("upscaler").get<std::string>());
}

struct Reader {
  const json& object;

  template <class T>
  void operator()(const char* name, T& out) const {
    const auto found = object.find(name);
    if (found == object.end()) return;
    try {
      read(*found, out);
    } catch (const json::exception&) {
      throw Error(ErrorCode::kInvalidArgument, concat("`", name, "` has the wrong type"), name);
    }
  }

 private:
  template <class T>
  static void read(const json& value, T& out) {
    read_value(value, out);
  }
  template <class T>
  static void read(const json& value, std::optional<T>& out) {
    T read_one{};
    read_value(value, read_one);
    out = std::move(read_one);
  }
  template <class T>
  static void read(const json& values, std::vector<T>& out) {
    out.clear();
    for (const auto& value : values) read_value(value, out.emplace_back());
  }
};

}  // namespace

ordered_json request_to_json(const GenerationRequest& request) {
  auto object = ordered_json::object();
  visit_request(request, Writer{object});
  return object;
}

void request_from_json(const json& object, GenerationRequest& request) {
  visit_request(request, Reader{object});
}

}  // namespace easel
