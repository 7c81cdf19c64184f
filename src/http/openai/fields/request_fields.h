// The fields of an image request, one row each: name, type, range, where it may be sent, setter, one line of
// documentation. The readers of JSON and of forms, their error messages and the table in docs/guide/edits.md follow
// from these rows, so that a new field is one row.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/responses/response_options.h"
#include "http/openai/streaming/stream_options.h"
#include "http/wire/fields.h"

namespace easel::http {

/// What an image route does: OpenAI's three tasks, and upscaling.
enum class ImageTask {
  kGenerate,  ///< an image from a prompt
  kEdit,      ///< an image from an image and a prompt: the whole of it, or where a mask says so
  kVary,      ///< an image from an image; the prompt is optional
  kUpscale,   ///< the same image, larger, by a model made for it; the prompt is optional
};

/// A request as the image routes read it: what to generate, and how to answer.
struct ImageRequest : GenerationRequest {
  ResponseOptions response;
  StreamOptions stream;
  int mask_blur = 0;  ///< radius in pixels of the blur of the mask
};

/// What the values of a request depend on besides its body.
struct FieldContext {
  const std::vector<ModelDescription>& models;
  const ServerOptions& limits;
  const std::string& default_model;  ///< what an absent `model` means; empty: the first one
  ImageTask task = ImageTask::kGenerate;
  bool strict = false;                      ///< a field that would be ignored is an error
  const ModelDescription* model = nullptr;  ///< the request's; set by the row `model`, which is the first
};

/// The largest value of a field: a number, a limit of the server, or a property of the model.
struct Bound {
  std::int64_t number = 0;
  std::int64_t ServerOptions::* limit = nullptr;
  std::int64_t ModelDescription::* property = nullptr;  ///< where the model has none (0), `number` counts
  const char* name = nullptr;                           ///< of the limit or property, for documents

  std::int64_t value(const FieldContext& context) const;
};

// The kinds of fields. Every `set` may be null, for a field that is checked and changes nothing, and may throw
// HttpFailure for a value that is valid but not supported.

struct IntegerField {
  std::int64_t min;
  Bound max;
  void (*set)(ImageRequest& request, std::int64_t value) = nullptr;
  std::optional<std::int64_t> example = std::nullopt;  ///< for documents; none: `min`
};
struct NumberField {
  double min;
  double max;
  void (*set)(ImageRequest& request, double value) = nullptr;
  std::optional<double> example = std::nullopt;  ///< for documents; none: `max`
};
struct BooleanField {
  void (*set)(ImageRequest& request, bool value) = nullptr;
};
struct TextField {  ///< up to ServerOptions::max_prompt_chars
  void (*set)(ImageRequest& request, std::string value) = nullptr;
  const char* example = "";  ///< for documents
};
struct ChoiceField {
  std::span<const char* const> choices;
  void (*set)(ImageRequest& request, const std::string& value) = nullptr;
};
struct NumbersField {
  Bound max_count;
  double min;
  double max;
  void (*set)(ImageRequest& request, std::vector<double> values) = nullptr;
  std::span<const double> example = {};  ///< for documents
};
struct PixelsField {  ///< two integers: (height, width) or (top, left), as diffusers has them
  std::int64_t min;
  std::int64_t max;
  void (*set)(ImageRequest& request, std::pair<int, int> value) = nullptr;
};
struct FileField {};  ///< the bytes of an image; in JSON as base64. Read with the body: see image_upload.h

enum class FieldType { kString, kNumber, kBoolean, kArray, kObject, kFile };

/// A field with a rule of its own; its reader is also called when the field is absent.
struct CustomField {
  FieldType type;      ///< of its value in a form
  const char* values;  ///< what it may be, for documents
  void (*read)(const Fields& fields, FieldContext& context, ImageRequest& request);
  const char* schema;  ///< its JSON Schema, with `examples`, as JSON text
};

enum class FieldRoutes { kAll, kWithImage };  ///< kWithImage: not on generations
/// Of names that other servers established, null, "", [] and {} count as absent.
enum class FieldOrigin { kOwn, kForeign };
enum class FieldBodies { kAll, kJson };  ///< kJson: not in forms

struct RequestField {
  const char* name;
  std::variant<IntegerField, NumberField, BooleanField, TextField, ChoiceField, NumbersField, PixelsField, FileField,
               CustomField>
      kind;
  const char* documentation;  ///< one line of Markdown
  FieldRoutes routes = FieldRoutes::kAll;
  FieldBodies bodies = FieldBodies::kAll;
  FieldOrigin origin = FieldOrigin::kOwn;
  const char* alias_of = nullptr;  ///< the field that this is another name of, with the same values; null: none
  /// The same for models that take guidance_scale as an input (ModelDescription::separate_guidance); null: `alias_of`.
  const char* distilled_alias_of = nullptr;
};

/// All fields, in the order in which faults are reported.
std::span<const RequestField> request_fields();

/// The row of that name, or nullptr.
const RequestField* find_request_field(std::string_view name);

FieldType type_of(const RequestField& field);

/// Whether the JSON value of a foreign or unknown name counts as absent: null, "", [] and {}.
bool counts_as_absent(const nlohmann::json& value);

/// Whether a field that would be ignored is an error. @throws HttpFailure  400: `strict` is not a boolean
bool is_strict(const Fields& fields, const ServerOptions& options);

/// Notes that the image is made without a field that was sent.
/// @param why  continues the field's name, e.g. "needs an image to start from"
/// @throws HttpFailure  400 with the field as param, where the request is strict
void set_aside(const FieldContext& context, const std::string& field, const std::string& why, ImageRequest& request);

/// Reads and checks all fields of a JSON object, files excepted. null means absent. Fields without a row are passed
/// over: see sort_out_foreign_fields.
/// @throws HttpFailure  400 with the field as param
ImageRequest read_request_fields(const Fields& fields, FieldContext context);

}  // namespace easel::http
