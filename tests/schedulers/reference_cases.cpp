#include "schedulers/reference_cases.h"

#include <cstdlib>
#include <fstream>

#include "core/config.h"
#include "core/text.h"

namespace easel::test {
namespace {

std::string reference_file(const std::string& file) {
  const char* folder = std::getenv("EASEL_SCHEDULERS_REFERENCE");
  return concat(folder == nullptr ? EASEL_REFERENCE_DIR : folder, "/", file);
}

ReferenceCase parse(const nlohmann::json& entry, std::span<const float> vectors) {
  ReferenceCase run;
  run.group = entry.at("group");
  run.name = entry.at("name");
  run.config = entry.at("config");
  run.steps = entry.at("steps");
  run.timesteps = entry.at("timesteps").get<std::vector<double>>();
  run.sigmas = entry.at("sigmas").get<std::vector<double>>();
  if (!entry.at("begin").is_null()) run.begin = entry.at("begin");
  run.strength = entry.at("strength");
  run.shape = entry.at("shape").get<std::vector<std::int64_t>>();
  run.dtype = entry.at("dtype");
  run.seed = entry.at("seed");
  run.eta = entry.at("eta");
  if (!entry.at("mu").is_null()) run.mu = entry.at("mu").get<double>();
  run.channel_factor = entry.at("channel_factor");
  run.kind = entry.at("kind");
  run.raises = entry.at("raises");
  if (run.raises.empty()) {
    run.total_steps = entry.at("total_steps");
    run.has_original_sample = entry.at("has_original_sample");
  }
  run.numbers = vectors.subspan(entry.at("offset"), entry.at("count"));
  return run;
}

}  // namespace

std::string ReferenceCase::describe() const {
  auto shown = config;
  if (shown.contains("trained_betas") && shown["trained_betas"].is_array()) shown["trained_betas"] = "...";
  return concat(group, ": \"", name, "\" ", steps, " steps from ", begin.value_or(0), " strength ", strength, " ",
                dtype, " seed ", seed, " eta ", eta, " mu ", mu.value_or(0), " timesteps [", timesteps.size(),
                "] sigmas [", sigmas.size(), "] ", shown.dump());
}

template <class Number>
std::vector<Number> read_numbers(const std::string& file) {
  std::ifstream in(reference_file(file), std::ios::binary | std::ios::ate);
  if (!in) throw Error(ErrorCode::kNotFound, reference_file(file) + " is missing: run the reference script first");
  std::vector<Number> numbers(static_cast<std::size_t>(in.tellg()) / sizeof(Number));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(numbers.data()), static_cast<std::streamsize>(numbers.size() * sizeof(Number)));
  return numbers;
}

template std::vector<float> read_numbers<float>(const std::string&);
template std::vector<double> read_numbers<double>(const std::string&);
template std::vector<std::uint32_t> read_numbers<std::uint32_t>(const std::string&);

namespace {

const nlohmann::json& cases_file() {
  // Through Config, because Python writes infinities that JSON does not have.
  static const auto file = Config::read_file(reference_file("cases.json"), "cases.json");
  return file.object();
}

}  // namespace

const nlohmann::json& reference_code_path() {
  return cases_file().at("code_path");
}

const std::vector<ReferenceCase>& reference_cases() {
  static const auto vectors = read_numbers<float>("vectors.bin");
  static const auto cases = [] {
    std::vector<ReferenceCase> list;
    for (const auto& entry : cases_file().at("cases")) list.push_back(parse(entry, vectors));
    return list;
  }();
  return cases;
}

}  // namespace easel::test
