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
#include "http/openai/streaming/late_response.h"
#include "http/sdapi/answers.h"
#include "http/sdapi/body.h"
#include "http/sdapi/calls.h"
#include "http/sdapi/extras.h"
#include "http/sdapi/member_names.h"
#include "http/sdapi/members.h"
#include "http/sdapi/operations.h"
#include "http/sdapi/source_images.h"
#include "http/sdapi/translation.h"
#include "http/wire/json_text.h"
#include "provenance/file_hashes.h"  // IWYU pragma: keep

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

  bool owns(std::string_view path) const override { return path.starts_with("/sdapi/"); }
  std::span<const Route> routes() const override;
  MaybeResponse handle(const Route& route, const RouteRequest& request) override;
  Response error_response(const HttpError& error) const override {
    auto response = json_response(error.status, error_answer(error));
    for (const auto& field : error.headers) response.headers.add(field.name, field.value);
    response.close = error.close;
    return response;
  }
  nlohmann::ordered_json schemas() const override { return member_schemas(); }

 private:
  using Handler = MaybeResponse (Extension::*)(const RouteRequest& request);
  struct Row {
    Route route;
    Handler handler;
  };
  static const std::vector<Row>& rows();

  /// JSON whatever the Content-Type says, as large as an upload: some programs send images that are not used.
  json read_body(Client& client) const {
    constexpr std::size_t kMaxImages = 3;  // of img2img; extra-batch-images has as many as fit
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
  struct Running;
  /// Submits a request and lists it as the caller's.
  std::shared_ptr<Running> start(PreparedRequest& prepared, const RouteRequest& request);
  Drawing read_drawing(const json& body, bool from_image, const RouteRequest& request);
  template <bool from_image>
  MaybeResponse draw(const RouteRequest& request);
  /// None when the client has left.
  std::optional<Image> upscale_by_model(const Image& image, const std::string& model, const RouteRequest& request);
  MaybeResponse png_info(const RouteRequest& request);
  MaybeResponse show_options(const RouteRequest& request);
  MaybeResponse set_options(const RouteRequest& request);
  MaybeResponse progress(const RouteRequest& request);
  MaybeResponse interrupt(const RouteRequest& request);
  MaybeResponse models(const RouteRequest&) { return ok(model_titles(engine_.models(), options_.metadata)); }
  MaybeResponse list_samplers(const RouteRequest&) { return ok(sampler_names()); }
  MaybeResponse list_schedulers(const RouteRequest&) { return ok(spacing_names()); }
  MaybeResponse upscalers(const RouteRequest&) { return ok(upscaler_names(engine_.models())); }
  MaybeResponse loras(const RouteRequest&) {
    return ok(adapter_names(options_.list_adapters ? options_.list_adapters() : std::vector<AdapterDescription>()));
  }
  template <bool wanted>
  MaybeResponse place_checkpoint(const RouteRequest& request);
  MaybeResponse memory(const RouteRequest&) {
    return ok(memory_answer(options_.read_memory ? options_.read_memory() : std::vector<DeviceMemory>()));
  }
  MaybeResponse embeddings(const RouteRequest&) {
    return ok(learned_words(options_.list_words ? options_.list_words() : std::vector<LearnedWord>()));
  }
  MaybeResponse autoencoders(const RouteRequest&) { return ok(autoencoder_names(options_.autoencoders)); }
  MaybeResponse list_latent_modes(const RouteRequest&) { return ok(latent_modes()); }
  MaybeResponse refresh_checkpoints(const RouteRequest&) {
    if (options_.refresh_models) options_.refresh_models();
    return ok("{}");
  }
  template <bool several>
  MaybeResponse upscale(const RouteRequest& request);
  MaybeResponse no_list(const RouteRequest&) { return ok("[]"); }
  MaybeResponse no_object(const RouteRequest&) { return ok("{}"); }
  MaybeResponse no_scripts(const RouteRequest&) { return ok(R"({"txt2img":[],"img2img":[]})"); }

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
  try {
    drawing.prepared = images_.prepare(translation.task, translation.upload, request.head.headers, "", request.record);
  } catch (const HttpFailure& failure) {
    throw HttpFailure(with_member_names(failure.error(), translation));
  }
  translation.upload = {};  // the files are decoded
  drawing.model = resolve_model(models, drawing.prepared.request.model, options_);
  note_ignored(drawing.prepared.request.response.ignored, body, translation);
  if (!translation.ignored.empty()) request.record.log_fields.emplace_back("ignored", join(translation.ignored));
  drawing.parameters = parameters_answer(body, translation);
  return drawing;
}

// A call that was submitted: listed, and cancelled when nothing waits for it any more.
struct Extension::Running {
  Running(Calls& calls, const std::string& account, Call call, std::shared_ptr<RequestPermit> its_permit)
      : job(call.job), listed(calls, account, std::move(call)), permit(std::move(its_permit)) {}
  ~Running() { job->cancel(); }  // does nothing once it has ended
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  const std::shared_ptr<Job> job;
  const Calls::Listed listed;
  const std::shared_ptr<RequestPermit> permit;
};

std::shared_ptr<Extension::Running> Extension::start(PreparedRequest& prepared, const RouteRequest& request) {
  const auto feed = std::make_shared<ProgressFeed>();
  prepared.options.listener = [feed](const ProgressEvent& event) { feed->receive(event); };
  prepared.options.preview_count = kPreviews;
  const auto job = submit(engine_, prepared.request, prepared.options);
  return std::make_shared<Running>(calls_, request.record.principal.account, Call{.job = job, .feed = feed},
                                   std::move(prepared.permit));
}

template <bool from_image>
MaybeResponse Extension::draw(const RouteRequest& request) {
  images_.check_accepting(request.head);
  const auto drawing = std::make_shared<Drawing>(
      images_.with_upload_memory(request.head, request.client, request.record,
                                 [&](Client& client) { return read_drawing(read_body(client), from_image, request); }));
  const auto running = start(drawing->prepared, request);
  const auto early = request.head.http_1_0 ? std::chrono::milliseconds(0) : options_.early_headers_after;
  const auto wait = wait_while_connected(*running->job, request.client, early);
  auto& record = request.record;
  const auto log_fields = record.log_fields;
  append_log_fields(running->job->stats(), record.log_fields);
  if (wait == Wait::kClientLeft) return std::nullopt;
  const auto body_of = [this, drawing, running] {
    auto result = take_result(*running->job, drawing->prepared.context);
    return images_answer(drawing->parameters, drawing->translation, drawing->prepared.request, drawing->model,
                         options_.metadata, std::move(result));
  };
  if (wait == Wait::kEnded) return ok(body_of());
  auto response = ok("");
  response.close = true;  // a failure is then at the end of the connection, as on the routes of OpenAI's API
  response.stream = [running, body_of, log_fields, &record](BodyWriter& body) {
    const auto end = write_late_body(*running->job, body_of, body, kBlankInterval, &error_answer);
    record.log_fields = log_fields;
    append_log_fields(running->job->stats(), record.log_fields);
    record.client_left = end.client_left;
    record.stream_error = end.error;
  };
  return response;
}

// The files of a request, decoded, and how each becomes larger.
struct UpscaleJob {
  std::vector<Image> images;
  Upscaling upscaling;
  ImageMemory::Place place;  // of the images
};

template <bool several>
MaybeResponse Extension::upscale(const RouteRequest& request) {
  images_.check_accepting(request.head);
  const auto [sources, upscaling, place] =
      images_.with_upload_memory(request.head, request.client, request.record, [&](Client& client) {
        const auto body = read_body(client);
        UpscaleJob read;
        const auto decode = [&] {
          read = {.images = read_sources(body, several, options_),
                  .upscaling = read_upscaling(body, engine_.models()),
                  .place = {}};
          return pixel_bytes(read.images);
        };
        read.place = images_.decode_within_memory(request.record.principal.account, decode, [&] { read = {}; });
        return read;
      });
  std::vector<std::string> files;
  for (const auto& source : sources) {
    check_size_of(upscaling, source, options_);
    if (upscaling.model.empty()) {
      files.push_back(encode_png(resized(source, source, upscaling)));
      continue;
    }
    const auto larger = upscale_by_model(source, upscaling.model, request);
    if (!larger) return std::nullopt;
    files.push_back(encode_png(resized(*larger, source, upscaling)));
  }
  return ok(several ? extras_answer(files) : extra_answer(files.front()));
}

std::optional<Image> Extension::upscale_by_model(const Image& image, const std::string& model,
                                                 const RouteRequest& request) {
  ImageUpload upload{
      .fields = {{"model", model}, {"response_format", "b64_json"}}, .images = {encode_png(image)}, .mask = {}};
  auto prepared = images_.prepare(ImageTask::kUpscale, upload, request.head.headers, "", request.record);
  const auto running = start(prepared, request);
  if (wait_while_connected(*running->job, request.client) == Wait::kClientLeft) return std::nullopt;
  try {
    return std::move(running->job->take().at(0).image);
  } catch (const Error& error) {
    throw HttpFailure(result_error(error, prepared.context));
  }
}

MaybeResponse Extension::png_info(const RouteRequest& request) {
  const auto metadata = images_.with_upload_memory(request.head, request.client, request.record, [&](Client& client) {
    const auto body = read_body(client);
    const auto found = body.find("image");
    return read_metadata(found == body.end() ? std::string() : decode_file("image", *found));
  });
  return ok(info_answer(metadata.parameters));
}

MaybeResponse Extension::show_options(const RouteRequest& request) {
  const auto models = engine_.models();
  const auto chosen = calls_.chosen_model(request.record.principal.account);
  const auto& model = resolve_model(models, chosen, options_);
  const auto& hashes = options_.metadata.file_hashes;
  return ok(json_text({{"sd_model_checkpoint", model.id},
                       {"sd_checkpoint_hash", hashes ? hashes->known(model.folder) : ""},
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

constexpr char kProgressQuery[] =
    R"([{"name": "skip_current_image", "in": "query", "schema": {"type": "boolean", "examples": [true]}}])";

const std::vector<Extension::Row>& Extension::rows() {
  const auto get = [](const char* pattern, Handler handler, const Operation& operation) {
    return Row{{.method = "GET", .name = pattern, .pattern = pattern, .operation = operation}, handler};
  };
  const auto post = [](const char* pattern, Handler handler, const Operation& operation) {
    return Row{{.method = "POST", .name = pattern, .pattern = pattern, .operation = operation}, handler};
  };
  using E = Extension;
  static const std::vector<Row> table = {
      post("/sdapi/v1/txt2img", &E::draw<false>,
           takes("TextToImage", "Makes images from a prompt.", kImages, kDrawErrors)),
      post("/sdapi/v1/img2img", &E::draw<true>,
           takes("ImageToImage", "Makes images from an image and a prompt.", kImages, kDrawErrors)),
      post("/sdapi/v1/png-info", &E::png_info, takes("PngInfo", "Reads the parameters in a file.", kParameters)),
      post("/sdapi/v1/extra-single-image", &E::upscale<false>,
           takes("Upscaling", "Makes an image larger.", kExtra, kDrawErrors)),
      post("/sdapi/v1/extra-batch-images", &E::upscale<true>,
           takes("Upscaling", "Makes images larger.", kExtras, kDrawErrors)),
      get("/sdapi/v1/options", &E::show_options, reads("Shows the caller's options.", kObject)),
      post("/sdapi/v1/options", &E::set_options, takes("Options", "Chooses the caller's model.", kNothing)),
      get("/sdapi/v1/progress", &E::progress, reads("Shows the caller's progress.", kProgress, kProgressQuery)),
      post("/sdapi/v1/interrupt", &E::interrupt, reads("Cancels the caller's calls.", kObject)),
      post("/sdapi/v1/skip", &E::interrupt, reads("Cancels the caller's calls.", kObject)),
      get("/sdapi/v1/sd-models", &E::models, reads("Lists the models.", kList)),
      get("/sdapi/v1/samplers", &E::list_samplers, reads("Lists the samplers.", kList)),
      get("/sdapi/v1/schedulers", &E::list_schedulers, reads("Lists the spacings of noise levels.", kList)),
      get("/sdapi/v1/upscalers", &E::upscalers, reads("Lists the upscalers.", kList)),
      get("/sdapi/v1/loras", &E::loras, reads("Lists the adapters.", kList)),
      post("/sdapi/v1/unload-checkpoint", &E::place_checkpoint<false>,
           reads("Unloads the chosen model. For operators.", kObject)),
      post("/sdapi/v1/reload-checkpoint", &E::place_checkpoint<true>,
           reads("Loads the chosen model. For operators.", kObject)),
      post("/sdapi/v1/refresh-checkpoints", &E::refresh_checkpoints, reads("Looks for new models.", kObject)),
      post("/sdapi/v1/refresh-loras", &E::no_object, reads("Looks for new adapters.", kObject)),
      post("/sdapi/v1/refresh-vae", &E::refresh_checkpoints, reads("Looks for new autoencoders.", kObject)),
      get("/sdapi/v1/memory", &E::memory, reads("Shows the memory.", kObject)),
      get("/sdapi/v1/cmd-flags", &E::no_object, reads("Answers with an empty object.", kObject)),
      get("/sdapi/v1/scripts", &E::no_scripts, reads("Lists scripts, of which there are none.", kObject)),
      get("/sdapi/v1/script-info", &E::no_list, reads("Lists scripts, of which there are none.", kList)),
      get("/sdapi/v1/embeddings", &E::embeddings, reads("Lists the learned words.", kObject)),
      get("/sdapi/v1/latent-upscale-modes", &E::list_latent_modes, reads("Lists the ways to enlarge latents.", kList)),
      get("/sdapi/v1/sd-vae", &E::autoencoders, reads("Lists the autoencoders.", kList)),
      get("/sdapi/v1/sd-modules", &E::autoencoders, reads("Lists the autoencoders.", kList)),
      get("/sdapi/v1/hypernetworks", &E::no_list, reads("Answers with an empty list.", kList)),
      get("/sdapi/v1/face-restorers", &E::no_list, reads("Answers with an empty list.", kList)),
      get("/sdapi/v1/realesrgan-models", &E::no_list, reads("Answers with an empty list.", kList)),
      get("/sdapi/v1/prompt-styles", &E::no_list, reads("Answers with an empty list.", kList)),
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
