// The routes of A1111's API.
#include "http/sdapi/sdapi.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"
#include "easel/image_metadata.h"
#include "http/openai/delivery.h"
#include "http/openai/fields/model_choice.h"
#include "http/sdapi/answers.h"
#include "http/sdapi/body.h"
#include "http/sdapi/calls.h"
#include "http/sdapi/source_images.h"
#include "http/sdapi/translation.h"
#include "http/wire/json_text.h"

namespace easel::http::sdapi {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using MaybeResponse = std::optional<Response>;

constexpr std::int64_t kPreviews = 8;  // of each image, for GET /progress

class Extension final : public RouteExtension {
 public:
  explicit Extension(const ExtensionParts& parts)
      : engine_(parts.engine), options_(parts.options), images_(parts.images) {}

  std::span<const Route> routes() const override;
  MaybeResponse handle(const Route& route, const RouteRequest& request) override;
  Response error_response(const HttpError& error) const override {
    auto response = json_response(error.status, error_answer(error));
    for (const auto& field : error.headers) response.headers.add(field.name, field.value);
    response.close = error.close;
    return response;
  }

 private:
  using Handler = MaybeResponse (Extension::*)(const RouteRequest& request);
  struct Row {
    Route route;
    Handler handler;
  };
  static const std::vector<Row>& rows();

  /// JSON whatever the Content-Type says, as large as an upload: some programs send images that are not used.
  json read_body(Client& client) const {
    constexpr std::size_t kMaxImages = 3;
    const auto base64_bytes = (options_.max_image_bytes / 3 + 1) * 4;
    const auto text = client.read_body(options_.max_body_bytes + kMaxImages * base64_bytes);
    return text.empty() ? json::object() : parse_json_object(text);
  }

  /// A request to draw, read and checked; it holds neither the body nor the files in it.
  struct Drawing {
    Translation translation;
    PreparedRequest prepared;
    std::string parameters;  ///< as parameters_answer() made them
    ModelDescription model;  ///< as it was when the request was read
  };
  Drawing read_drawing(const json& body, bool from_image, const RouteRequest& request);
  template <bool from_image>
  MaybeResponse draw(const RouteRequest& request);
  MaybeResponse png_info(const RouteRequest& request);
  MaybeResponse show_options(const RouteRequest& request);
  MaybeResponse set_options(const RouteRequest& request);
  MaybeResponse progress(const RouteRequest& request);
  MaybeResponse interrupt(const RouteRequest& request);
  MaybeResponse models(const RouteRequest&) { return ok(model_titles(engine_.models())); }
  MaybeResponse list_samplers(const RouteRequest&) { return ok(sampler_names()); }
  MaybeResponse list_schedulers(const RouteRequest&) { return ok(spacing_names()); }
  MaybeResponse upscalers(const RouteRequest&) { return ok(upscaler_names(engine_.models())); }
  MaybeResponse loras(const RouteRequest&) {
    return ok(adapter_names(options_.list_adapters ? options_.list_adapters() : std::vector<AdapterDescription>()));
  }
  template <bool wanted>
  MaybeResponse place_checkpoint(const RouteRequest& request);
  MaybeResponse memory(const RouteRequest&) {
    return ok(R"({"ram":{"free":0,"used":0,"total":0},"cuda":{"error":"see GET /metrics"}})");
  }
  MaybeResponse no_list(const RouteRequest&) { return ok("[]"); }
  MaybeResponse no_object(const RouteRequest&) { return ok("{}"); }
  MaybeResponse no_scripts(const RouteRequest&) { return ok(R"({"txt2img":[],"img2img":[]})"); }
  MaybeResponse no_embeddings(const RouteRequest&) { return ok(R"({"loaded":{},"skipped":{}})"); }

  static Response ok(std::string body) { return json_response(200, std::move(body)); }

  Engine& engine_;
  const ServerOptions& options_;
  ImageEndpoints& images_;
  Calls calls_;
};

Extension::Drawing Extension::read_drawing(const json& body, bool from_image, const RouteRequest& request) {
  const auto models = engine_.models();
  const auto chosen = calls_.chosen_model(request.record.principal.account);
  Drawing drawing;
  auto& translation = drawing.translation;
  const auto translated = [&] {
    return translate(body, from_image, {.models = models, .options = options_, .chosen_model = chosen});
  };
  translation = from_image ? images_.with_decoding_place(translated) : translated();
  drawing.prepared = images_.prepare(translation.task, translation.upload, request.head.headers, "", request.record);
  translation.upload = {};  // the files are decoded
  drawing.model = resolve_model(models, drawing.prepared.request.model, options_);
  for (const auto& name : drawing.prepared.request.response.ignored) translation.ignored.push_back(name);
  std::sort(translation.ignored.begin(), translation.ignored.end());
  if (!translation.ignored.empty()) request.record.log_fields.emplace_back("ignored", join(translation.ignored));
  drawing.parameters = parameters_answer(body, translation);
  return drawing;
}

template <bool from_image>
MaybeResponse Extension::draw(const RouteRequest& request) {
  images_.check_accepting(request.head);
  auto [translation, prepared, parameters, model] =
      images_.with_upload_memory(request.head, request.client, request.record,
                                 [&](Client& client) { return read_drawing(read_body(client), from_image, request); });
  const auto feed = std::make_shared<ProgressFeed>();
  prepared.options.listener = [feed](const ProgressEvent& event) { feed->receive(event); };
  prepared.options.preview_count = kPreviews;
  const GenerationRequest generation = prepared.request;
  const auto job = submit(engine_, generation, std::move(prepared.options));
  const Calls::Listed listed(calls_, request.record.principal.account, {.job = job, .feed = feed});
  const auto wait = wait_while_connected(*job, request.client);
  append_log_fields(job->stats(), request.record.log_fields);
  if (wait == Wait::kClientLeft) return std::nullopt;
  return ok(images_answer(parameters, translation, generation, model, take_result(*job, std::move(prepared.context))));
}

MaybeResponse Extension::png_info(const RouteRequest& request) {
  const auto metadata = images_.with_upload_memory(request.head, request.client, request.record, [&](Client& client) {
    const auto body = read_body(client);
    const auto found = body.find("image");
    return read_metadata(found == body.end() ? std::string() : decode_file("image", *found));
  });
  ordered_json parameters = ordered_json::object();
  if (!metadata.parameters.empty()) {
    const auto parsed = parse_parameters(metadata.parameters);
    parameters["Prompt"] = parsed.prompt;
    parameters["Negative prompt"] = parsed.negative_prompt;
    for (const auto& [name, value] : parsed.settings) parameters[name] = value;
  }
  const auto items =
      metadata.parameters.empty() ? ordered_json::object() : ordered_json({{"parameters", metadata.parameters}});
  return ok(json_text({{"info", metadata.parameters}, {"items", items}, {"parameters", parameters}}));
}

MaybeResponse Extension::show_options(const RouteRequest& request) {
  const auto models = engine_.models();
  const auto chosen = calls_.chosen_model(request.record.principal.account);
  const auto& model = resolve_model(models, chosen, options_);
  return ok(json_text({{"sd_model_checkpoint", model.id},
                       {"sd_checkpoint_hash", ""},
                       {"sd_vae", "Automatic"},
                       {"CLIP_stop_at_last_layers", 1},
                       {"samples_format", "png"}}));
}

MaybeResponse Extension::set_options(const RouteRequest& request) {
  const auto title = images_.with_upload_memory(request.head, request.client, request.record, [&](Client& client) {
    const auto body = read_body(client);
    return Body(body).text("sd_model_checkpoint").value_or("");
  });
  if (!title.empty()) {
    const auto models = engine_.models();
    const std::string none;
    const auto& model = model_titled(title, {.models = models, .options = options_, .chosen_model = none});
    calls_.choose_model(request.record.principal.account, model.id);
  }
  return ok("null");
}

MaybeResponse Extension::progress(const RouteRequest& request) {
  const bool skip = request.head.query.find("skip_current_image=true") != std::string::npos;
  return ok(progress_answer(calls_.of(request.record.principal.account), !skip));
}

MaybeResponse Extension::interrupt(const RouteRequest& request) {
  calls_.interrupt(request.record.principal.account);
  return ok("{}");
}

// Acts for operators only; the other callers of these two get the same answer.
template <bool wanted>
MaybeResponse Extension::place_checkpoint(const RouteRequest& request) {
  const auto& principal = request.record.principal;
  if (!principal.is_operator) return ok("{}");
  const auto models = engine_.models();
  const auto& model = resolve_model(models, calls_.chosen_model(principal.account), options_);
  wanted ? engine_.load(model.id) : engine_.unload(model.id);
  return ok("{}");
}

const std::vector<Extension::Row>& Extension::rows() {
  const auto get = [](const char* pattern, Handler handler) {
    return Row{{.method = "GET", .name = pattern, .pattern = pattern}, handler};
  };
  const auto post = [](const char* pattern, Handler handler) {
    return Row{{.method = "POST", .name = pattern, .pattern = pattern}, handler};
  };
  static const std::vector<Row> table = {
      post("/sdapi/v1/txt2img", &Extension::draw<false>),
      post("/sdapi/v1/img2img", &Extension::draw<true>),
      post("/sdapi/v1/png-info", &Extension::png_info),
      get("/sdapi/v1/options", &Extension::show_options),
      post("/sdapi/v1/options", &Extension::set_options),
      get("/sdapi/v1/progress", &Extension::progress),
      post("/sdapi/v1/interrupt", &Extension::interrupt),
      post("/sdapi/v1/skip", &Extension::interrupt),
      get("/sdapi/v1/sd-models", &Extension::models),
      get("/sdapi/v1/samplers", &Extension::list_samplers),
      get("/sdapi/v1/schedulers", &Extension::list_schedulers),
      get("/sdapi/v1/upscalers", &Extension::upscalers),
      get("/sdapi/v1/loras", &Extension::loras),
      post("/sdapi/v1/unload-checkpoint", &Extension::place_checkpoint<false>),
      post("/sdapi/v1/reload-checkpoint", &Extension::place_checkpoint<true>),
      post("/sdapi/v1/refresh-checkpoints", &Extension::no_object),
      post("/sdapi/v1/refresh-loras", &Extension::no_object),
      post("/sdapi/v1/refresh-vae", &Extension::no_object),
      get("/sdapi/v1/memory", &Extension::memory),
      get("/sdapi/v1/cmd-flags", &Extension::no_object),
      get("/sdapi/v1/scripts", &Extension::no_scripts),
      get("/sdapi/v1/script-info", &Extension::no_list),
      get("/sdapi/v1/embeddings", &Extension::no_embeddings),
      get("/sdapi/v1/latent-upscale-modes", &Extension::no_list),
      get("/sdapi/v1/sd-vae", &Extension::no_list),
      get("/sdapi/v1/sd-modules", &Extension::no_list),
      get("/sdapi/v1/hypernetworks", &Extension::no_list),
      get("/sdapi/v1/face-restorers", &Extension::no_list),
      get("/sdapi/v1/realesrgan-models", &Extension::no_list),
      get("/sdapi/v1/prompt-styles", &Extension::no_list),
  };
  return table;
}

std::span<const Route> Extension::routes() const {
  static const std::vector<Route> table = [] {
    std::vector<Route> all;
    for (const auto& row : rows()) all.push_back(row.route);
    return all;
  }();
  return table;
}

MaybeResponse Extension::handle(const Route& route, const RouteRequest& request) {
  const auto index = static_cast<std::size_t>(&route - routes().data());
  return (this->*rows()[index].handler)(request);
}

}  // namespace

std::unique_ptr<RouteExtension> make_extension(const ExtensionParts& parts) {
  return std::make_unique<Extension>(parts);
}

}  // namespace easel::http::sdapi
