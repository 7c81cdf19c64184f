// A property of every reader of bytes: whatever is changed in a valid input, it is read, or refused with a 4xx or 5xx
// that easel sends, and nothing else happens. These tests are worth most under the sanitizers.
#include <gtest/gtest.h>
#include <httplib.h>

#include <functional>
#include <random>
#include <string>

#include "http/access/access.h"
#include "http/openai/fields/form_fields.h"
#include "http/openai/requests/openai_images.h"
#include "http/openai/routes.h"
#include "http/support/form_text.h"
#include "http/support/scripted_engine.h"
#include "http/support/served_bytes.h"
#include "http/transport/multipart.h"
#include "http/transport/request_head.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

constexpr int kMutants = 20'000;

// Changes, drops, doubles or inserts up to three pieces.
std::string mutant_of(std::string text, std::mt19937& random) {
  static constexpr std::string_view kPieces[] = {"\r\n", "\n",  ":", " ",          "%",    "\"", "{",
                                                 "[",    "\\u", "-", "9999999999", "\xff", ",",  "."};
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  for (auto changes = 1 + below(3); changes > 0 && !text.empty(); --changes) {
    const auto at = below(text.size());
    switch (below(4)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(at, 1 + below(8));
        break;
      case 2:
        text.insert(at, text.substr(at, 1 + below(40)));
        break;
      default:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
    }
  }
  return text;
}

struct Outcomes {
  int read = 0;
  int refused = 0;
};

void expect_refusal(const HttpError& error) {
  EXPECT_GE(error.status, 400);
  EXPECT_TRUE(error.status == 500 || httplib::status_message(error.status) != std::string(httplib::status_message(500)))
      << "a status without a name of its own";
  EXPECT_LT(error_body(error).size(), 2000u);
}

Outcomes try_mutants(const std::string& text, const std::function<void(const std::string&)>& reader) {
  std::mt19937 random(1);  // the same mutants every time
  Outcomes outcomes;
  for (int i = 0; i < kMutants; ++i) {
    const auto mutant = mutant_of(text, random);
    try {
      reader(mutant);
      ++outcomes.read;
    } catch (const ProtocolError& failure) {
      expect_refusal(protocol_error(failure));
      ++outcomes.refused;
    } catch (const HttpFailure& failure) {
      expect_refusal(failure.error());
      ++outcomes.refused;
    }
  }
  return outcomes;
}

TEST(Mutations, HeadsAreReadOrRejected) {
  const std::string head =
      "POST http://localhost:9225/v1/models/a%2Fb?x=1 HTTP/1.1\r\nHost: localhost:9225\r\nContent-Length: 10\r\n"
      "Connection: keep-alive, x\r\nOrigin: http://localhost:9225\r\nAuthorization: Bearer key\r\nExpect: "
      "100-continue\r\n\r\n";
  ApiKeys keys({"key"}, "");
  const Access access({.trusted_proxies = {"127.0.0.1"}}, keys);
  const auto outcomes = try_mutants(head, [&](const std::string& text) {
    HeadScanner scanner;
    const auto end = scanner.find_end(text);
    if (!end) return;
    const auto parsed = parse_request_head(std::string_view(text).substr(0, *end));
    percent_decode(find_route(parsed.method, parsed.path).parameter);
    const auto source = access.source_of(parsed, "127.0.0.1");
    access.check_origin(parsed, source);
    access.check_host(source);
    access.identify(parsed, source);
  });
  EXPECT_GT(outcomes.read, 1000);
  EXPECT_GT(outcomes.refused, 1000);
}

TEST(Mutations, ChunkedBodiesAreReadOrRejected) {
  const auto outcomes =
      try_mutants("5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nT: x\r\n\r\n", [](const std::string& text) {
        const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        const auto served = test::serve_bytes(head + text, /*step=*/200, /*max_body_bytes=*/1000);
        ASSERT_NE(served.body.has_value(), served.refusal.has_value());
        if (served.refusal) throw *served.refusal;
        EXPECT_LE(served.body->size(), 1000u);
      });
  EXPECT_GT(outcomes.read, 1000);
  EXPECT_GT(outcomes.refused, 1000);
}

TEST(Mutations, ImageRequestsAreReadOrRejected) {
  const std::vector<ModelDescription> models = {test::tiny_model("tiny")};
  const ServerOptions limits;
  const std::string body =
      "{\"prompt\": \"caf\xc3\xa9 \\ud83d\\ude00\", \"model\": \"tiny\", \"n\": 2, \"size\": \"512x384\", \"seed\": "
      "\"12345\", "
      "\"guidance_scale\": 7.5, \"steps\": 20, \"scheduler\": \"euler\", \"eta\": 0.5, \"clip_skip\": 1, \"extra\": "
      "[[{}]]}";
  const auto outcomes = try_mutants(body, [&](const std::string& text) {
    const auto request = read_image_request(parse_json_object(text), models, limits, "");
    EXPECT_TRUE(request.num_images >= 1 && request.num_images <= 10);
    EXPECT_TRUE(!request.width || (*request.width >= 16 && *request.width <= 2048));
    EXPECT_TRUE(!request.num_inference_steps || *request.num_inference_steps <= 250);
    EXPECT_LT(request.seed, std::uint64_t{1} << 63);
    EXPECT_FALSE(request.prompt.empty());
  });
  EXPECT_GT(outcomes.read, 1000);
  EXPECT_GT(outcomes.refused, 1000);
}

TEST(Mutations, FormsAreReadOrRejected) {
  constexpr FormLimits kFormLimits{.max_parts = 16,
                                   .max_header_bytes = 300,
                                   .max_text_bytes = 400,
                                   .max_file_bytes = 100,
                                   .is_file = [](std::string_view name) { return name == "image"; }};
  const std::vector<ModelDescription> models = {test::tiny_model("tiny")};
  const auto form = test::form_text({{"prompt", "caf\xc3\xa9"},
                                     {"image", "\r\n--xYzZ\r\n-", true},
                                     {"n", "2"},
                                     {"timesteps[]", "999"},
                                     {"timesteps[]", "1"},
                                     {"loras", R"([{"name":"ink","weight":0.5}])"},
                                     {"loras[][name]", "oil"},
                                     {"original_size", "[512, 512]"}});
  std::mt19937 random(2);
  const auto outcomes = try_mutants(form, [&](const std::string& text) {
    MultipartReader reader(test::kBoundary, kFormLimits);
    const auto cut = std::uniform_int_distribution<std::size_t>(0, text.size())(random);
    reader.feed(std::string_view(text).substr(0, cut));
    reader.feed(std::string_view(text).substr(cut));
    const auto request = read_image_request(form_to_json(reader.finish()), models, {}, "", ImageTask::kEdit);
    EXPECT_LE(request.loras.size(), 16u);
    EXPECT_LE(request.timesteps.size(), 250u);
  });
  EXPECT_GT(outcomes.read, 1000);
  EXPECT_GT(outcomes.refused, 1000);
}

}  // namespace
}  // namespace easel::http
