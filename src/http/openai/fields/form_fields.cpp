// Text parts become the JSON values of their fields' types.
#include "http/openai/fields/form_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/text.h"
#include "http/openai/fields/request_fields.h"
#include "http/wire/fields.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using nlohmann::json;

// Fields without a row are text.
FieldType type_of(std::string_view name) {
  const auto* field = find_request_field(name);
  return field ? type_of(*field) : FieldType::kString;
}

// The JSON library checks UTF-8 only when it writes, which would be much later.
void check_utf8(const std::string& text, const std::string& name) {
  try {
    static_cast<void>(json(text).dump());
  } catch (const json::type_error&) {
    throw field_error(name, "invalid_value",
                      concat("`", name, "` is not text in UTF-8; the parts that may be files are `image` and `mask`."));
  }
}

std::string normalize_line_endings(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') plain += text[i];
  }
  return plain;
}

json number_or_text(const std::string& text) {
  // JSON allows spaces around a number; a form does not.
  if (!text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string::npos) {
    if (auto number = parse_json_value(text)) return *number;
  }
  return text;
}

json boolean_or_text(const std::string& text) {
  if (equal_ignoring_case(text, "true")) return true;
  if (equal_ignoring_case(text, "false")) return false;
  return text;
}

json object_or_text(const std::string& text) {
  if (text.starts_with('{')) {
    if (auto object = parse_json_value(text)) return std::move(*object);
  }
  return text;
}

// An adapter is a name, or an object.
json adapter(const std::string& text) {
  return object_or_text(text);
}

json array_or_text(const std::string& name, const std::string& text) {
  if (text.starts_with('[')) {
    if (auto array = parse_json_value(text)) return std::move(*array);
    return text;
  }
  if (name == "loras") return json::array({adapter(text)});
  if (auto array = parse_json_value("[" + text + "]")) return std::move(*array);
  return text;
}

json value_of(const std::string& name, const std::string& text) {
  switch (type_of(name)) {
    case FieldType::kNumber:
      return number_or_text(text);
    case FieldType::kArray:
      return array_or_text(name, text);
    case FieldType::kBoolean:
      return boolean_or_text(text);
    case FieldType::kObject:
      return object_or_text(text);
    case FieldType::kString:
    case FieldType::kFile:
      break;
  }
  return text;
}

// "loras[][weight]" is the member "weight" of the last entry, or of a new one when that has it already.
void add_member(json& array, const std::string& member, const std::string& text) {
  const bool begins = array.empty() || !array.back().is_object() || array.back().contains(member);
  if (begins) array.push_back(json::object());
  array.back()[member] = member == "name" ? json(text) : number_or_text(text);
}

void append_element(json& fields, const std::string& name, const std::string& suffix, const std::string& text) {
  auto& array = fields[name];
  if (!array.is_array()) array = json::array();
  constexpr std::string_view kMemberStart = "[][";
  if (suffix == "[]") {
    array.push_back(name == "loras" ? adapter(text) : number_or_text(text));
  } else if (suffix.starts_with(kMemberStart) && suffix.ends_with(']')) {
    add_member(array, suffix.substr(kMemberStart.size(), suffix.size() - kMemberStart.size() - 1), text);
  } else {
    throw field_error(name, "invalid_value",
                      concat("Unsupported field name ", quote(name + suffix), "; use ", quote(name), " or ",
                             quote(name + "[]"), "."));
  }
}

}  // namespace

json form_to_json(const std::vector<FormPart>& texts) {
  auto fields = json::object();
  for (const auto& part : texts) {
    const auto& name = part.name;
    check_utf8(part.content, name);
    const auto text = normalize_line_endings(part.content);
    const auto bracket = std::min(name.find('['), name.size());
    const auto base = name.substr(0, bracket);
    if (bracket < name.size() && type_of(base) == FieldType::kArray) {
      append_element(fields, base, name.substr(bracket), text);
    } else if (!text.empty() || name == "prompt") {
      fields[name] = value_of(name, text);
    }
  }
  return fields;
}

}  // namespace easel::http
