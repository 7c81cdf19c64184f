#include "http/sdapi/members.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace easel::http::sdapi {
namespace {

using nlohmann::ordered_json;

// Anything may be null, and numbers may be written as floats.
constexpr char kText[] = R"({"type": ["string", "null"], "examples": [""]})";
constexpr char kFlag[] = R"({"type": ["boolean", "number", "null"], "examples": [false]})";
constexpr char kCount[] = R"({"type": ["number", "null"], "minimum": 0, "maximum": 250, "examples": [1]})";
constexpr char kNumber[] = R"({"type": ["number", "null"], "minimum": -1e6, "maximum": 1e6, "examples": [0]})";
constexpr char kAnything[] = R"({"examples": [null]})";
constexpr char kEdge[] = R"({"type": ["number", "null"], "minimum": 0, "maximum": 65536, "examples": [512]})";
constexpr char kShare[] = R"({"type": ["number", "null"], "minimum": 0, "maximum": 1, "examples": [0.75]})";
constexpr char kScale[] = R"({"type": ["number", "null"], "minimum": 0, "maximum": 100, "examples": [7]})";
constexpr char kSeed[] =
    R"({"type": ["number", "null"], "minimum": -1, "maximum": 18446744073709551615, "examples": [-1]})";
constexpr char kFile[] = R"({"type": ["string", "null"], "contentEncoding": "base64", "examples": [""]})";
constexpr char kFiles[] = R"({"type": ["array", "null"], "items": {"type": "string", "contentEncoding": "base64"},
                              "examples": [[]]})";

constexpr char kNoEffect[] = "Accepted. Changes nothing here.";
constexpr char kWithHires[] = "Of the second pass, with `enable_hr`.";
constexpr char kOfSecondPass[] = "With `enable_hr`, a value that differs from the first pass's is ignored.";
constexpr char kWithMask[] = "Of a request with a mask.";

constexpr Member kMembers[] = {
    {"prompt", R"({"type": ["string", "null"], "examples": ["a fox on a blue background"]})",
     "In AUTOMATIC1111's syntax."},
    {"negative_prompt", R"({"type": ["string", "null"], "examples": ["blurry"]})", "What to keep out of the image."},
    {"width", kEdge, "Pixels. 0 or absent: the model's own."},
    {"height", kEdge, "Pixels. 0 or absent: the model's own."},
    {"steps", R"({"type": ["number", "null"], "minimum": 0, "maximum": 250, "examples": [20]})",
     "0 or absent: the model's own."},
    {"cfg_scale", kScale, "Guidance. On FLUX.1 it counts only with a negative prompt."},
    {"distilled_cfg_scale", kScale, "Guidance of FLUX.1; of other models it is ignored."},
    {"seed", kSeed, "-1 or absent: a random one."},
    {"batch_size", kCount, "How many images."},
    {"n_iter", kCount, "How often as many images."},
    {"sampler_name", R"({"type": ["string", "null"], "examples": ["Euler a"]})", "A name of GET /sdapi/v1/samplers."},
    {"sampler_index", R"({"type": ["string", "null"], "examples": ["Euler a"]})", "An older name of `sampler_name`."},
    {"scheduler", R"({"type": ["string", "null"], "examples": ["Karras"]})", "A name of GET /sdapi/v1/schedulers."},
    {"eta", kNumber, "Of DDIM and TCD."},
    {"clip_skip", kNumber, "Counted as AUTOMATIC1111 does: 1 skips nothing."},
    {"model", kText, "Id of a model, as stable-diffusion.cpp has it."},
    {"override_settings",
     R"({"type": ["object", "null"], "examples": [{"sd_model_checkpoint": "emoji", "CLIP_stop_at_last_layers": 1}]})",
     "`sd_model_checkpoint` and `CLIP_stop_at_last_layers` are honoured."},
    {"denoising_strength", kShare, "Of img2img, and of the second pass."},
    {"subseed", kNumber, kNoEffect},
    {"subseed_strength", kNumber, "Other than 0 it is ignored."},
    {"seed_resize_from_w", kNumber, "Above 0 it is ignored."},
    {"seed_resize_from_h", kNumber, "Above 0 it is ignored."},
    {"initial_noise_multiplier", kNumber, "Other than 0 and 1 it is ignored."},
    {"s_noise", kNumber, "Other than 0 and 1 it is ignored."},
    {"enable_hr", kFlag, "A second pass over a larger version of the image."},
    {"hr_scale", R"({"type": ["number", "null"], "minimum": 0, "maximum": 8, "examples": [2]})", kWithHires},
    {"hr_upscaler", R"({"type": ["string", "null"], "examples": ["Latent"]})", kWithHires},
    {"hr_second_pass_steps", R"({"type": ["number", "null"], "minimum": 0, "maximum": 250, "examples": [10]})",
     kWithHires},
    {"hr_resize_x", kEdge, "Width of the result, with `enable_hr`."},
    {"hr_resize_y", kEdge, "Height of the result, with `enable_hr`."},
    {"init_images", kFiles, "The image to start from, in base64; several for models that take several.",
     MemberOf::kFromImage},
    {"mask", kFile, "White is drawn anew.", MemberOf::kFromImage},
    {"inpainting_mask_invert", kNumber, "1: black is drawn anew.", MemberOf::kFromImage},
    {"inpainting_fill", kNumber, kWithMask, MemberOf::kFromImage},
    {"inpaint_full_res", kFlag, kWithMask, MemberOf::kFromImage},
    {"inpaint_full_res_padding", R"({"type": ["number", "null"], "minimum": 0, "maximum": 4096, "examples": [32]})",
     kWithMask, MemberOf::kFromImage},
    {"mask_blur", R"({"type": ["number", "null"], "minimum": 0, "maximum": 64, "examples": [4]})", kWithMask,
     MemberOf::kFromImage},
    {"mask_blur_x", kNumber, "Other than `mask_blur` and 4 it is ignored.", MemberOf::kFromImage},
    {"mask_blur_y", kNumber, "Other than `mask_blur` and 4 it is ignored.", MemberOf::kFromImage},
    {"mask_round", kFlag, kNoEffect, MemberOf::kFromImage},
    {"resize_mode", kNumber, "0 stretches and 1 crops; others are ignored.", MemberOf::kFromImage},
    {"include_init_images", kFlag, kNoEffect, MemberOf::kFromImage},
    {"do_not_save_samples", kFlag, kNoEffect},
    {"do_not_save_grid", kFlag, kNoEffect},
    {"save_images", kFlag, kNoEffect},
    {"send_images", kFlag, kNoEffect},
    {"override_settings_restore_afterwards", kFlag, kNoEffect},
    {"url", kAnything, kNoEffect},
    {"auth", kAnything, kNoEffect},
    {"force_task_id", kAnything, kNoEffect},
    {"infotext", kAnything, kNoEffect},
    {"comments", kAnything, kNoEffect},
    {"script_args", kAnything, kNoEffect},
    {"hr_sampler_name", kAnything, kOfSecondPass},
    {"hr_scheduler", kAnything, kOfSecondPass},
    {"hr_prompt", kAnything, kOfSecondPass},
    {"hr_negative_prompt", kAnything, kOfSecondPass},
    {"hr_checkpoint_name", kAnything, kOfSecondPass},
    {"hr_additional_modules", kAnything, kOfSecondPass},
    {"hr_cfg", kAnything, kOfSecondPass},
    {"hr_distilled_cfg", kAnything, kOfSecondPass},
    {"firstphase_width", kAnything, kOfSecondPass},
    {"firstphase_height", kAnything, kOfSecondPass},
    {"image", kFile, "A file in base64.", MemberOf::kUpscaling},
    {"imageList", R"({"type": ["array", "null"], "items": {"type": "object"}, "examples": [[]]})",
     "Objects `{\"data\": base64, \"name\": text}`.", MemberOf::kUpscaling},
    {"resize_mode", kNumber, "0: by `upscaling_resize`; 1: to `upscaling_resize_w` by `upscaling_resize_h`.",
     MemberOf::kUpscaling},
    {"upscaler_1", R"({"type": ["string", "null"], "examples": ["Lanczos"]})", "A name of GET /sdapi/v1/upscalers.",
     MemberOf::kUpscaling},
    {"upscaling_resize", R"({"type": ["number", "null"], "minimum": 0, "maximum": 8, "examples": [2]})",
     "How many times as large. Default: 2.", MemberOf::kUpscaling},
    {"upscaling_resize_w", kEdge, "Pixels.", MemberOf::kUpscaling},
    {"upscaling_resize_h", kEdge, "Pixels.", MemberOf::kUpscaling},
    {"upscaling_crop", kFlag, "Cut to the size instead of fitting into it. Default: true.", MemberOf::kUpscaling},
    {"show_extras_results", kFlag, kNoEffect, MemberOf::kUpscaling},
    {"sd_model_checkpoint", kText, "The model of later calls of the same account.", MemberOf::kOptions},
    {"sd_vae", kText, kNoEffect, MemberOf::kOptions},
};

bool belongs(const Member& member, std::initializer_list<MemberOf> kinds) {
  return std::find(kinds.begin(), kinds.end(), member.of) != kinds.end();
}

ordered_json body_schema(std::initializer_list<MemberOf> kinds) {
  auto properties = ordered_json::object();
  for (const auto& member : kMembers) {
    if (!belongs(member, kinds)) continue;
    auto schema = ordered_json::parse(member.schema);
    schema["description"] = member.documentation;
    properties[member.name] = std::move(schema);
  }
  return {{"type", "object"},
          {"description", "Other members are accepted; the response lists them in `parameters.ignored`."},
          {"properties", std::move(properties)}};
}

constexpr char kResponses[] = R"json({
  "A1111Error": {"type": "object", "required": ["error", "detail", "body", "errors"], "properties": {
    "error": {"type": "string"}, "detail": {"type": "string"}, "body": {"type": "string"}, "errors": {"type": "string"}}},
  "A1111Images": {"type": "object", "required": ["images", "parameters", "info"], "properties": {
    "images": {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}},
    "parameters": {"type": "object"}, "info": {"type": "string", "description": "JSON as text."}}},
  "A1111Extra": {"type": "object", "required": ["html_info", "image"], "properties": {
    "html_info": {"type": "string"}, "image": {"type": "string", "contentEncoding": "base64"}}},
  "A1111Extras": {"type": "object", "required": ["html_info", "images"], "properties": {
    "html_info": {"type": "string"},
    "images": {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}}}},
  "A1111Parameters": {"type": "object", "required": ["info", "items", "parameters"], "properties": {
    "info": {"type": "string"}, "items": {"type": "object"}, "parameters": {"type": "object"}}},
  "A1111Progress": {"type": "object", "required": ["progress", "eta_relative", "state", "current_image", "textinfo"],
    "properties": {"progress": {"type": "number", "minimum": 0, "maximum": 1}, "eta_relative": {"type": "number"},
      "state": {"type": "object"}, "current_image": {"type": ["string", "null"]}, "textinfo": {"type": "null"}}},
  "A1111List": {"type": "array"},
  "A1111Object": {"type": "object"},
  "A1111Nothing": {"type": "null"}
})json";

}  // namespace

std::span<const Member> members() {
  return kMembers;
}

bool is_member(std::string_view name) {
  return std::any_of(std::begin(kMembers), std::end(kMembers),
                     [&](const Member& member) { return member.name == name; });
}

bool has_no_effect(const Member& member) {
  return member.documentation == kNoEffect;
}

ordered_json member_schemas() {
  auto schemas = ordered_json::parse(kResponses);
  schemas["TextToImage"] = body_schema({MemberOf::kDrawing});
  schemas["ImageToImage"] = body_schema({MemberOf::kDrawing, MemberOf::kFromImage});
  schemas["Upscaling"] = body_schema({MemberOf::kUpscaling});
  schemas["PngInfo"] = {{"type", "object"}, {"properties", {{"image", ordered_json::parse(kFile)}}}};
  schemas["Options"] = body_schema({MemberOf::kOptions});
  return schemas;
}

}  // namespace easel::http::sdapi
