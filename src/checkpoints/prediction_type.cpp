#include "checkpoints/prediction_type.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

/// Without white space and quotes.
std::string plain_value(std::string text) {
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0 || c == '"' || c == '\''; });
  return text;
}

std::string without_comment(const std::string& line) {
  const auto comment = line.starts_with('#') ? 0 : std::min(line.find(" #"), line.find("\t#"));
  return line.substr(0, comment);
}

/// The values of a key in a line of YAML, in block style ("key: value") or flow style ("{key: value, other: 1}").
std::vector<std::string> values_of(const std::string& line, const std::string& key) {
  constexpr const char* kBlanks = " \t\"'";
  std::vector<std::string> values;
  for (auto at = line.find(key); at != std::string::npos; at = line.find(key, at + 1)) {
    const bool is_word =
        at == 0 || (std::isalnum(static_cast<unsigned char>(line[at - 1])) == 0 && line[at - 1] != '_');
    const auto colon = line.find_first_not_of(kBlanks, at + key.size());
    if (!is_word || colon == std::string::npos || line[colon] != ':') continue;
    values.push_back(plain_value(line.substr(colon + 1, line.find_first_of(",}", colon) - colon - 1)));
  }
  return values;
}

/// The names that trainers give the two kinds. @throws Error(kUnsupported)
std::string prediction_named(std::string value, const std::string& where) {
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* name : {"epsilon", "eps", "noise"}) {
    if (value == name) return "epsilon";
  }
  for (const char* name : {"v", "v_prediction", "v-prediction", "v_pred", "vpred", "velocity"}) {
    if (value == name) return "v_prediction";
  }
  throw Error(ErrorCode::kUnsupported, concat(where, " is ", quote_name(value),
                                              "; easel supports epsilon and v_prediction, one of which the manifest "
                                              "may state as `prediction_type`"));
}

/// Of a class of Stability AI's sgm/modules/diffusionmodules/denoiser_scaling.py.
std::string prediction_of_scaling(const std::string& target, const std::string& where) {
  const auto name = target.substr(target.rfind('.') + 1);
  if (name == "EpsScaling") return "epsilon";
  if (name == "VScaling") return "v_prediction";
  throw Error(ErrorCode::kUnsupported, concat(where, " is ", quote_name(name), ", which easel does not support"));
}

}  // namespace

std::optional<PredictionType> read_yaml_prediction_type(const std::string& path) {
  std::error_code unknown;
  if (!fs::is_regular_file(path, unknown)) return std::nullopt;
  std::ifstream file(path);
  const auto source = fs::path(path).filename().string();
  for (std::string line; std::getline(file, line);) {
    line = without_comment(line);
    if (const auto values = values_of(line, "parameterization"); !values.empty()) {
      return PredictionType{prediction_named(values.front(), path + ": `parameterization`"), source};
    }
    for (const auto& value : values_of(line, "target")) {
      if (value.find("denoiser_scaling.") == std::string::npos) continue;
      return PredictionType{prediction_of_scaling(value, path + ": the scaling of the denoiser"), source};
    }
  }
  return std::nullopt;
}

std::optional<PredictionType> stated_prediction_type(const SafetensorsFile& file, const NameSet& names,
                                                     const SingleFileOverrides& overrides) {
  if (!overrides.prediction_type.empty()) return PredictionType{overrides.prediction_type, "its manifest"};
  if (auto stated = read_yaml_prediction_type(fs::path(file.where()).replace_extension(".yaml").string())) {
    return stated;
  }
  for (const char* key : {"modelspec.prediction_type", "prediction_type"}) {
    const auto found = file.metadata().find(key);
    if (found == file.metadata().end() || found->second.empty()) continue;
    return PredictionType{prediction_named(found->second, concat(file.where(), ": the metadata `", key, "`")),
                          concat("the metadata `", key, "`")};
  }
  if (names.has("v_pred")) return PredictionType{"v_prediction", "its tensor `v_pred`"};
  return std::nullopt;
}

}  // namespace easel
