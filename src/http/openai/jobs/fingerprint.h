// Tells whether two requests are the same.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace easel::http {

/// A SHA-256 of what a request says, however it was written: the order of fields, null fields, and 2 for 2.0 make no
/// difference, and neither do white space and the boundary of a form.
/// @param route   what the request asks for, e.g. "edit", and the model that its path names
/// @param fields  an object
/// @param files   the bytes of its images and its mask, in order; a file that is not there is empty
std::string request_fingerprint(std::string_view route, const nlohmann::json& fields,
                                const std::vector<std::string_view>& files);

}  // namespace easel::http
