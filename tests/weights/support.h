// Helpers of the tests in this folder.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "easel/error.h"
#include "support/temporary_folder.h"

namespace easel {

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The message of an easel::Error after its code: "corrupt_data: ...". Any other exception fails the test.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not an easel::Error: " << error.what();
  }
  return "no error";
}

}  // namespace easel
