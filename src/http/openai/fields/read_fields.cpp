// What reads the fields of a request by their kinds.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"
#include "http/openai/fields/field_values.h"
#include "http/openai/fields/request_fields.h"
#include "http/openai/fields/unused_fields.h"

namespace easel::http {
namespace {

// Whether two values of a field and its other name mean the same: 7 and 7.0, and for seeds also "7".
bool same_value(const nlohmann::json& a, const nlohmann::json& b) {
  const auto text = [](const nlohmann::json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  return a == b || text(a) == text(b);
}

// The field that a row is about: its own, or the one that it is another name of.
std::string_view field_of(const RequestField& row, const ModelDescription& model) {
  if (model.separate_guidance && row.distilled_alias_of) return row.distilled_alias_of;
  return row.alias_of ? row.alias_of : row.name;
}

void check_aliases(const Fields& fields, const ModelDescription& model) {
  for (const auto& field : request_fields()) {
    if (!field.alias_of) continue;
    for (const auto& other : request_fields()) {
      if (&other == &field || field_of(field, model) != field_of(other, model)) continue;
      const auto *value = fields.find(field.name), *other_value = fields.find(other.name);
      if (value && other_value && !same_value(*value, *other_value)) {
        throw names_with_different_values(other.name, field.name);
      }
    }
  }
}

// The names under which the client sent a field.
std::vector<std::string> sent_names(const Fields& fields, std::string_view name, const ModelDescription& model) {
  std::vector<std::string> names;
  for (const auto& field : request_fields()) {
    if (field_of(field, model) == name && fields.find(field.name)) names.emplace_back(field.name);
  }
  return names;
}

MicroConditioning::Pixels whole_pixels(const char* field, const std::vector<double>& numbers) {
  const auto whole = [](double number) { return number == std::floor(number); };
  if (numbers.size() != 2 || !std::all_of(numbers.begin(), numbers.end(), whole)) {
    throw field_error(
        field, "invalid_value",
        concat("`", field, "` must be two integers: [height, width] of a size, [top, left] of a corner."));
  }
  return {static_cast<int>(numbers[0]), static_cast<int>(numbers[1])};
}

// Reads one field according to its kind.
struct FieldReader {
  const char* name;
  const Fields& fields;
  FieldContext& context;
  ImageRequest& request;

  template <class Value, class Setter>
  void set(std::optional<Value> value, Setter setter) const {
    if (value && setter) setter(request, std::move(*value));
  }

  void operator()(const IntegerField& field) const {
    set(fields.integer(name, field.min, field.max.value(context)), field.set);
  }
  void operator()(const NumberField& field) const { set(fields.number(name, field.min, field.max), field.set); }
  void operator()(const BooleanField& field) const { set(fields.boolean(name), field.set); }
  void operator()(const TextField& field) const { set(fields.text(name, context.limits.max_prompt_chars), field.set); }
  void operator()(const ChoiceField& field) const {
    set(fields.choice(name, {field.choices.begin(), field.choices.end()}), field.set);
  }
  void operator()(const NumbersField& field) const {
    const auto max_count = static_cast<std::size_t>(field.max_count.value(context));
    set(fields.numbers(name, max_count, field.min, field.max), field.set);
  }
  void operator()(const PixelsField& field) const {
    constexpr std::size_t kAxes = 2;
    const auto numbers = fields.numbers(name, kAxes, static_cast<double>(field.min), static_cast<double>(field.max));
    if (numbers) set(std::optional(whole_pixels(name, *numbers)), field.set);
  }
  void operator()(const FileField&) const {}
  void operator()(const CustomField& field) const { field.read(fields, context, request); }
};

}  // namespace

bool is_strict(const Fields& fields, const ServerOptions& options) {
  return fields.boolean("strict").value_or(options.strict);
}

bool counts_as_absent(const nlohmann::json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         (value.is_structured() && value.empty());
}

void set_aside(const FieldContext& context, const std::string& field, const std::string& why, ImageRequest& request) {
  const auto name = shortened(field);
  if (context.strict) throw field_error(name, "unsupported_parameter", concat("`", name, "` ", why, "."));
  auto& ignored = request.response.ignored;
  const auto place = std::lower_bound(ignored.begin(), ignored.end(), name);
  if (place == ignored.end() || *place != name) ignored.insert(place, name);
}

ImageRequest read_request_fields(const Fields& fields, FieldContext context) {
  context.strict = is_strict(fields, context.limits);
  ImageRequest request;
  request.keep_unmasked = context.task == ImageTask::kEdit;
  for (const auto& field : request_fields()) {
    const bool needs_image = field.routes == FieldRoutes::kWithImage && type_of(field) != FieldType::kFile;
    const bool has_no_use = needs_image && context.task == ImageTask::kGenerate;
    ImageRequest unused;  // receives the checked value of a field that has no use
    std::visit(FieldReader{field.name, fields, context, has_no_use ? unused : request}, field.kind);
    if (has_no_use && fields.find(field.name)) {
      set_aside(context, field.name, "needs an image to start from: see POST /v1/images/edits", request);
    }
  }
  check_aliases(fields, *context.model);
  for (const auto& [name, why] : drop_unused_fields(request, *context.model)) {
    for (const auto& sent : sent_names(fields, name, *context.model)) set_aside(context, sent, why, request);
  }
  return request;
}

}  // namespace easel::http
