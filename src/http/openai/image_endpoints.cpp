// The image routes.
#include "http/openai/image_endpoints.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"
#include "http/openai/delivery.h"
#include "http/openai/fields/model_choice.h"
#include "http/openai/jobs/fingerprint.h"
#include "http/openai/link_base.h"
#include "http/openai/requests/input_images.h"
#include "http/openai/requests/openai_images.h"
#include "http/openai/requests/submit_options.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

// Longest wait of a request for the memory of its body, and for that of its decoded images.
constexpr std::chrono::seconds kMaxMemoryWait{30};

HttpFailure shutting_down() {
  return HttpFailure(http_error(Error(ErrorCode::kUnavailable, "The server is shutting down.")));
}

void check_content_encoding(const RequestHead& head) {
  const auto* encoding = head.headers.find("Content-Encoding");
  if (encoding && !equal_ignoring_case(*encoding, "identity")) {
    HttpError error{
        .status = 415, .message = "The request's body must not be compressed.", .code = "unsupported_content_encoding"};
    error.headers.add("Accept-Encoding", "identity");
    throw HttpFailure(std::move(error));
  }
}

// A body without a type is taken for JSON; one of another type is refused.
void check_json(const RequestHead& head) {
  const auto* type = head.headers.find("Content-Type");
  if (!type) return;
  const auto media_type = trimmed(std::string_view(*type).substr(0, type->find(';')));
  if (media_type.empty() || equal_ignoring_case(media_type, "application/json")) return;
  throw HttpFailure({.status = 400,
                     .message = "The Content-Type of this request must be application/json.",
                     .code = "unsupported_content_type"});
}

log::Fields request_log_fields(const GenerationRequest& request, const std::vector<ModelDescription>& models) {
  const auto& model = resolve_model(models, request.model, /*options=*/{});
  const auto [width, height] = output_size(request, model);
  return {{"model", request.model},
          {"size", concat(width, "x", height)},
          {"images", request.num_images},
          {"steps", request.num_inference_steps.value_or(model.default_steps)}};
}

// Before the image is made: an image that is too large for its format could not be sent.
void check_format(const ImageRequest& request) {
  const auto format = request.response.output.format;
  const bool has_image_size = request.padding_mask_crop && request.image;
  int longest = has_image_size ? std::max(request.image->width, request.image->height)
                               : std::max(request.width.value_or(0), request.height.value_or(0));
  if (request.hires) longest = std::max({longest, request.hires->width, request.hires->height});
  if (longest <= max_edge_of(format)) return;
  throw field_error("output_format", "invalid_value",
                    concat("`output_format` is ", format_name(format), ", which has edges of up to ",
                           max_edge_of(format), " pixels; the image would have ", longest, "."));
}

std::string fingerprint(ImageTask task, const std::string& default_model, const ImageUpload& body) {
  std::vector<std::string_view> files(body.images.begin(), body.images.end());
  files.push_back(body.mask ? std::string_view(*body.mask) : std::string_view());
  return request_fingerprint(concat(static_cast<int>(task), ' ', default_model), body.fields, files);
}

/// @throws HttpFailure  503: the model that the server starts with is still being downloaded
void check_download(const PendingDownload& download) {
  if (download.finished) return;
  throw HttpFailure(
      http_error(Error(ErrorCode::kUnavailable,
                       concat("The model ", download.model, " is still being downloaded: ", download.done_bytes >> 20,
                              " of ", download.total_bytes >> 20, " MiB. GET /ready shows the progress."))));
}

}  // namespace

ImageEndpoints::ImageEndpoints(Engine& engine, const ServerOptions& options, ImageStore& store, KeptRequests& kept,
                               const std::atomic<bool>& shutting_down)
    : engine_(engine),
      options_(options),
      store_(store),
      kept_(kept),
      shutting_down_(shutting_down),
      upload_memory_(options.upload_memory, kMaxMemoryWait),
      image_memory_(options.upload_memory, kMaxMemoryWait) {
  const auto least = options.max_body_bytes + options.max_upload_bytes;
  if (upload_memory_.max_body() < least) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("--upload-memory ", options.upload_memory, " is too small: three quarters of it must hold one ",
                       "request of --max-upload-bytes and --max-body-bytes, which is ", least, " bytes"));
  }
}

ImageUpload ImageEndpoints::read_body(ImageTask task, const RequestHead& head, Client& client) const {
  if (task != ImageTask::kGenerate) return read_upload(head, client, options_);
  check_json(head);
  return {.fields = parse_json_object(client.read_body(options_.max_body_bytes)), .images = {}, .mask = {}};
}

ImageMemory::Place ImageEndpoints::decode_within_memory(const std::string& account,
                                                        const std::function<std::size_t()>& decode,
                                                        const std::function<void()>& drop) {
  std::size_t bytes = 0;
  ImageMemory::Place place;
  with_decoding_place([&] {
    bytes = decode();
    place = image_memory_.try_take(account, bytes);
    if (!place) drop();  // before others may decode
  });
  if (place) return place;
  place = image_memory_.take(account, bytes);
  if (!place) {
    if (shutting_down_) throw shutting_down();
    SubmitOptions options;
    options.account = account;
    throw rejection(engine_, options,
                    Error(ErrorCode::kResourceExhausted,
                          "The images of other requests take all memory that there is for them; try again later."));
  }
  with_decoding_place(decode);
  return place;
}

ImageRequest ImageEndpoints::read_request(ImageTask task, const ImageUpload& upload, const std::string& default_model,
                                          const std::string& account) {
  const auto models = engine_.models();
  const auto without_images = read_image_request(upload.fields, models, options_, default_model, task);
  auto request = without_images;
  if (task != ImageTask::kGenerate) {
    const auto drop = [&] { request = without_images; };
    const auto place = decode_within_memory(
        account,
        [&] {
          drop();
          attach_input_images(upload, task, resolve_model(models, request.model, options_), options_, request);
          return pixel_bytes(request);
        },
        drop);
    keep_with_images(place, request);
  }
  check_format(request);
  return request;
}

void ImageEndpoints::check_accepting(const RequestHead& head) const {
  if (shutting_down_) throw shutting_down();
  if (options_.download) check_download(*options_.download);
  check_content_encoding(head);
}

PreparedRequest ImageEndpoints::prepare(ImageTask task, const ImageUpload& body, const Headers& headers,
                                        const std::string& default_model, RequestRecord& record) {
  PreparedRequest prepared;
  prepared.task = task;
  prepared.keeping = read_keeping(headers);
  prepared.options = read_submit_options(headers, record.principal, options_.request_timeout);
  // The result of a job is read later, so that nobody waits for it.
  if (!prepared.keeping.as_job) prepared.options.queue_timeout = options_.queue_timeout;
  const bool progress = read_progress_header(headers);
  prepared.request = read_request(task, body, default_model, record.principal.account);
  if (prepared.keeping.key) prepared.keeping.fingerprint = fingerprint(task, default_model, body);
  auto& stream = prepared.request.stream;
  stream.progress = stream.progress.value_or(progress);
  if (stream.enabled) check_one_image(prepared.request.num_images);
  const auto models = engine_.models();
  record.log_fields = request_log_fields(prepared.request, models);
  prepared.context = result_context(prepared.request, models, options_);
  prepared.permit = std::make_shared<RequestPermit>(in_flight_, options_.max_waiting);
  if (!prepared.permit->acquired()) {
    throw rejection(
        engine_, prepared.options,
        Error(ErrorCode::kResourceExhausted,
              concat("All ", options_.max_waiting, " places for image requests are taken; try again later.")));
  }
  return prepared;
}

std::optional<Response> ImageEndpoints::handle(ImageTask task, const RequestHead& head,
                                               const std::string& default_model, Client& client,
                                               RequestRecord& record) {
  check_accepting(head);
  auto prepared = with_upload_memory(head, client, record, [&](Client& budgeted) {
    return prepare(task, read_body(task, head, budgeted), head.headers, default_model, record);
  });
  // HTTP/1.0 has no chunks, and its clients wait for the whole response anyway.
  const auto early = head.http_1_0 ? std::chrono::milliseconds(0) : options_.early_headers_after;
  if (prepared.keeping.wanted()) {
    return deliver_kept(engine_, kept_, store_, std::move(prepared), link_base(options_, record.source), early, client,
                        record);
  }
  if (prepared.request.stream.enabled) {
    auto source = submit_stream(engine_, prepared);
    return deliver_stream(engine_, std::move(prepared), std::move(source), client, record);
  }
  return deliver_plain(engine_, store_, std::move(prepared), link_base(options_, record.source), early, client, record);
}

Response ImageEndpoints::file(const std::string& name) const {
  const auto id = name.substr(0, name.find('.'));
  const auto image = store_.find(id);
  if (!image || name != id + std::string(file_extension(image->format))) {
    throw HttpFailure({.status = 404, .message = "There is no such image, or no longer: links end after a while."});
  }
  Response response;
  response.headers.add("Content-Type", std::string(media_type(image->format)));
  response.headers.add("Cache-Control", "private, immutable");
  response.body = image->bytes;
  return response;
}

}  // namespace easel::http
