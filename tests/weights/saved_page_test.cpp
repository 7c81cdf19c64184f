#include "weights/format/saved_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "samples.h"
#include "support.h"

namespace easel {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& contents) {
  return error_of([&] { refuse_saved_page(samples::as_bytes(contents), "m.safetensors"); });
}

TEST(SavedPage, PagesResponsesAndPointersAreRefusedByWhatTheyAre) {
  for (const std::string page :
       {"<!DOCTYPE html><title>404</title>", "\xef\xbb\xbf\r\n <HTML>", "<?xml version='1.0'?><Error/>"}) {
    EXPECT_THAT(refusal(page), HasSubstr("corrupt_data: m.safetensors is a saved web page in place of a model"))
        << page;
  }
  EXPECT_THAT(refusal(R"({"error": "Unauthorized"})"),
              HasSubstr(R"(is a saved JSON response in place of a model: it begins with "{"error": "Unauthorized"}")"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:1"), HasSubstr("a pointer of Git LFS"));
  EXPECT_THAT(refusal("<html>\n\x1b"), testing::Not(HasSubstr("\n")));
}

TEST(SavedPage, ModelsAndOtherFilesPass) {
  for (const std::string& file : {samples::valid_safetensors(), samples::valid_pickle(), std::string(),
                                  std::string("  "), std::string("{\0\0\0\0\0\0\0{}", 10)}) {
    EXPECT_EQ(refusal(file), "no error");
  }
}

}  // namespace
}  // namespace easel
