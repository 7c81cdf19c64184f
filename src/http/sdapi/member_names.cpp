#include "http/sdapi/member_names.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/text.h"

namespace easel::http::sdapi {
namespace {

// The member that a field came from. An error may be about a part of a field: "hires.scale".
std::string member_of(const std::string& field, const Translation& translation) {
  const auto& members = translation.members;
  auto found = members.find(field);
  if (found == members.end()) found = members.find(field.substr(0, field.find('.')));
  return found == members.end() ? field : found->second;
}

}  // namespace

HttpError with_member_names(HttpError error, const Translation& translation) {
  auto member = member_of(error.param, translation);
  const auto field = concat('`', error.param, '`');
  if (const auto at = error.message.find(field); at != std::string::npos) {
    error.message.replace(at, field.size(), concat('`', member, '`'));
  }
  error.param = std::move(member);
  return error;
}

void note_ignored(const std::vector<std::string>& fields, const nlohmann::json& body, Translation& translation) {
  auto& ignored = translation.ignored;
  for (const auto& field : fields) {
    auto member = member_of(field, translation);
    const auto sent = body.find(member);
    if (sent != body.end() && !sent->is_null()) ignored.push_back(std::move(member));
  }
  std::sort(ignored.begin(), ignored.end());
  ignored.erase(std::unique(ignored.begin(), ignored.end()), ignored.end());
}

}  // namespace easel::http::sdapi
