// The routes with input images, over sockets: edits, variations, upscale.
#include <gtest/gtest.h>

#include "core/base64.h"
#include "core/text.h"
#include "http/support/form_text.h"
#include "http/support/running_server.h"
#include "support/image_files.h"

namespace easel::test {
namespace {

using easel::testing::gradient;
using easel::testing::jpeg_file;
using easel::testing::png_file;

const std::string kPng = png_file(gradient(32, 24));

std::string edit_request(const std::string& body, const std::string& path = "/v1/images/edits",
                         const std::string& type = form_type(), const Fields& more = {}) {
  Fields fields = {{"Content-Type", type}};
  fields.insert(fields.end(), more.begin(), more.end());
  return request_text("POST", path, body, fields);
}

Response edit(const RunningServer& server, const std::vector<Part>& parts,
              const std::string& path = "/v1/images/edits") {
  return server.ask(edit_request(form_text(parts), path));
}

Response edit_json(const RunningServer& server, const nlohmann::json& body) {
  return server.ask(edit_request(body.dump(), "/v1/images/edits", "application/json"));
}

std::string chunked(const std::string& request, std::size_t chunk) {
  const auto head_end = request.find("\r\n\r\n");
  const auto length_at = request.find("Content-Length");
  const auto body = request.substr(head_end + 4);
  std::string text = request.substr(0, length_at) + "Transfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += chunk) {
    const auto piece = body.substr(at, chunk);
    std::ostringstream size;
    size << std::hex << piece.size();
    text += size.str() + "\r\n" + piece + "\r\n";
  }
  return text + "0\r\n\r\n";
}

std::vector<ModelDescription> with_upscaler() {
  auto larger = tiny_model("larger");
  larger.upscale_factor = 2;
  return {tiny_model("tiny"), larger};
}

TEST(Edits, ImageAndMaskReachTheEngine) {
  const RunningServer server;
  const auto mask = png_file(gradient(32, 24), std::vector<std::uint8_t>(768, 0));
  const auto response = edit(server, {{"prompt", "a\r\ncat"},
                                      {"image", kPng, true},
                                      {"mask", mask, true},
                                      {"n", "2"},
                                      {"seed", "41"},
                                      {"strength", "0.5"},
                                      {"size", ""},
                                      {"response_format", "b64_json"},
                                      {"user", "someone"},
                                      {"loras", R"([{"name": "ink", "weight": 0.5, "text_encoder_weight": 0.2}])"}});
  ASSERT_EQ(response.status, 200) << response.body;
  const auto request = server.engine.requests().at(0);
  EXPECT_EQ(request.prompt, "a\ncat");
  EXPECT_EQ(request.num_images, 2);
  EXPECT_EQ(request.seed, 41u);
  EXPECT_EQ(request.strength, 0.5);
  EXPECT_EQ(request.width, 32);
  EXPECT_EQ(request.height, 24);
  EXPECT_EQ(request.image->pixels, gradient(32, 24).pixels);
  ASSERT_TRUE(request.mask);
  EXPECT_EQ(request.mask->pixels, std::vector<std::uint8_t>(32 * 24 * 3, 255));
  EXPECT_TRUE(request.keep_unmasked);
  ASSERT_EQ(request.loras.size(), 1u);
  EXPECT_EQ(request.loras[0].weight, 0.5);
  EXPECT_EQ(request.loras[0].text_encoder_weight, 0.2);
  const auto body = response.json();
  EXPECT_EQ(body["size"], "32x24");
  EXPECT_EQ(body["data"].size(), 2u);
  EXPECT_EQ(body["data"][1]["seed"], 42);
  EXPECT_EQ(body["data"][1]["prompt_cut"], false);
}

TEST(Edits, ImageFieldSpellingsAreEquivalent) {
  const RunningServer server;
  for (const char* name : {"image", "image[]", "image[0]"}) {
    EXPECT_EQ(edit(server, {{"prompt", "a cat"}, {name, kPng, true}}).status, 200) << name;
  }
}

// Two images of other sizes, so that their order is seen in the engine's request.
TEST(Edits, SeveralImagesArriveInTheirOrder) {
  auto references = tiny_model("references");
  references.max_input_images = 3;
  const RunningServer server({}, {}, {references, tiny_model("tiny")});
  const auto second = jpeg_file(gradient(32, 16));
  const std::vector<std::pair<const char*, const char*>> spellings = {
      {"image[]", "image[]"}, {"image", "image"}, {"image[0]", "image[1]"}, {"image", "image[]"}};
  for (const auto& [first_name, second_name] : spellings) {
    const auto response = edit(server, {{"prompt", "a cat"}, {first_name, kPng, true}, {second_name, second, true}});
    ASSERT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(response.json()["images_used"], 2);
    const auto request = server.engine.requests().back();
    EXPECT_EQ(request.image->width, 32);
    ASSERT_EQ(request.more_images.size(), 1u);
    EXPECT_EQ(request.more_images[0]->width, 32);
  }
  const auto one = edit(server, {{"prompt", "x"}, {"image", kPng, true}, {"image", second, true}, {"model", "tiny"}});
  EXPECT_EQ(one.json()["images_used"], 1);
  EXPECT_TRUE(server.engine.requests().back().more_images.empty());
  EXPECT_FALSE(edit(server, {{"prompt", "x"}, {"image[]", kPng, true}}).json().contains("images_used"));
  EXPECT_EQ(edit(server, {{"image", kPng, true}, {"image", second, true}}, "/v1/images/variations").status, 400);

  std::vector<Part> parts = {{"prompt", "x"}};
  for (int i = 0; i < 16; ++i) parts.push_back({"image[]", second, true});
  EXPECT_EQ(edit(server, parts).json()["images_used"], 3);
  parts.push_back({"image[]", second, true});
  const auto many = edit(server, parts);
  EXPECT_EQ(many.status, 400);
  EXPECT_EQ(error_of(many)["param"], "image");
}

// A model that blends its images: the result depends on the second one.
TEST(Edits, TheSecondImageReachesTheResultOfAModelThatUsesIt) {
  auto references = tiny_model("references");
  references.max_input_images = 2;
  const RunningServer server({}, {}, {references});
  const auto result = [&](int brightness) {
    const auto other = png_file(easel::testing::flat(16, 16, static_cast<std::uint8_t>(brightness), 0, 0));
    return edit(server, {{"prompt", "x"}, {"seed", "1"}, {"image[]", kPng, true}, {"image[]", other, true}})
        .json()["data"][0]["b64_json"];
  };
  EXPECT_EQ(result(10), result(10));
  EXPECT_NE(result(10), result(200));
}

// Browsers send a part for a file field in which nothing was chosen.
TEST(Edits, AFileWithoutBytesAndNameIsAbsent) {
  const RunningServer server;
  const std::string empty =
      concat("--", kBoundary, "\r\nContent-Disposition: form-data; name=\"mask\"; filename=\"\"\r\n",
             "Content-Type: application/octet-stream\r\n\r\n\r\n");
  const auto form = form_text({{"prompt", "x"}, {"image", kPng, true}});
  EXPECT_EQ(server.ask(edit_request(empty + form)).status, 200);
  EXPECT_FALSE(server.engine.requests().back().mask);
  const auto named = edit(server, {{"prompt", "x"}, {"image", kPng, true}, {"mask", "", true}});
  EXPECT_EQ(named.status, 400);
  EXPECT_EQ(error_of(named)["param"], "mask");
}

TEST(Edits, ChunkedBodiesAreAccepted) {
  const RunningServer server;
  const auto request = edit_request(form_text({{"image", kPng, true}, {"prompt", "a cat"}}));
  for (const std::size_t chunk : {1u, 7u, 1000u, 100000u}) {
    EXPECT_EQ(server.ask(chunked(request, chunk)).status, 200) << chunk;
    EXPECT_EQ(server.engine.requests().back().image->pixels, gradient(32, 24).pixels);
  }
  RawClient client(server.port);
  const auto body = form_text({{"image", kPng, true}, {"prompt", "a cat"}});
  const auto waiting = edit_request(body, "/v1/images/edits", form_type(), {{"Expect", "100-continue"}});
  client.send(waiting.substr(0, waiting.size() - body.size()));
  EXPECT_EQ(client.read(/*bodiless=*/true).status, 100);
  client.send(body);
  EXPECT_EQ(client.read().status, 200);
}

TEST(Edits, JsonBodiesCarryBase64Images) {
  const RunningServer server;
  const auto base64 = base64_encode(kPng), url = "data:image/png;base64," + base64;
  for (const nlohmann::json& body :
       std::vector<nlohmann::json>{{{"prompt", "a cat"}, {"image", base64}},
                                   {{"prompt", "a cat"}, {"image", url}},
                                   {{"prompt", "a cat"}, {"images", {{{"image_url", url}}}}},
                                   {{"prompt", "a cat"}, {"images", {url, {{"image_url", url}}}}},
                                   {{"prompt", "a cat"}, {"image", {url, base64}}},
                                   {{"prompt", "a cat"}, {"image", {{"image_url", {{"url", url}}}}}},
                                   {{"prompt", "a cat"}, {"image", {{"image_url", {{"url", url}, {"detail", "low"}}}}}},
                                   {{"prompt", "a cat"}, {"images", {{{"image_url", {{"url", base64}}}}}}},
                                   {{"prompt", "a cat"}, {"image", {{"b64_json", base64}}}},
                                   {{"prompt", "a cat"}, {"images", {{{"b64_json", base64}, {"image_url", nullptr}}}}},
                                   {{"prompt", "a cat"}, {"image", url}, {"mask", {{"b64_json", base64}}}},
                                   {{"prompt", "a cat"}, {"image", url}, {"images", {url}}},
                                   {{"prompt", "a cat"}, {"image", url}, {"mask", {{"image_url", url}}}},
                                   {{"prompt", "a cat"}, {"image", url}, {"mask", nullptr}}}) {
    EXPECT_EQ(edit_json(server, body).status, 200) << body.dump().substr(0, 100);
    EXPECT_EQ(server.engine.requests().back().image->pixels, gradient(32, 24).pixels);
  }
  struct Case {
    nlohmann::json body;
    const char* param;
  };
  for (const auto& [body, param] : std::vector<Case>{
           {{{"prompt", "x"}}, "image"},
           {{{"prompt", "x"}, {"image", "!!!!"}}, "image"},
           {{{"prompt", "x"}, {"image", 5}}, "image"},
           {{{"prompt", "x"}, {"image", "https://example.com/a.png"}}, "image"},
           {{{"prompt", "x"}, {"image", "data:image/png,abc"}}, "image"},
           {{{"prompt", "x"}, {"images", nlohmann::json::array()}}, "images"},
           {{{"prompt", "x"}, {"images", url}}, "images"},
           {{{"prompt", "x"}, {"images", std::vector<std::string>(17, url)}}, "image"},
           {{{"prompt", "x"}, {"images", {{{"file_id", "file-1"}}}}}, "images"},
           {{{"prompt", "x"}, {"image", {{"image_url", {{"href", url}}}}}}, "image"},
           {{{"prompt", "x"}, {"image", {{"image_url", {{"url", 5}}}}}}, "image"},
           {{{"prompt", "x"}, {"image", {{"image_url", {{"url", "https://example.com/a.png"}}}}}}, "image"},
           {{{"prompt", "x"}, {"image", {{"image_url", url}, {"b64_json", base64}}}}, "image"},
           {{{"prompt", "x"}, {"image", url}, {"mask", "no"}}, "mask"}}) {
    const auto response = edit_json(server, body);
    EXPECT_EQ(response.status, 400) << body.dump().substr(0, 100);
    EXPECT_EQ(error_of(response)["param"], param) << body.dump().substr(0, 100);
  }
}

struct Fault {
  std::vector<Part> parts;
  const char* param;
  const char* code;
};

TEST(Edits, EveryFaultIsReportedAndKeepsTheConnection) {
  const RunningServer server;
  RawClient client(server.port);
  const Part prompt{"prompt", "a cat"}, image{"image", kPng, true};
  const Fault faults[] = {
      {{prompt}, "image", "missing_required_parameter"},
      {{image}, "prompt", "missing_required_parameter"},
      {{image, {"prompt", ""}}, "prompt", "empty_string"},
      {{prompt, {"image", "", true}}, "image", "invalid_image_file"},
      {{prompt, {"image", "not an image", true}}, "image", "invalid_image_file"},
      {{prompt, {"image", kPng.substr(0, 70), true}}, "image", "invalid_image_file"},
      {{prompt, image, {"mask", png_file(gradient(33, 24)), true}}, "mask", "invalid_mask_image_format"},
      {{prompt, image, {"mask", jpeg_file(gradient(32, 24)).substr(0, 400), true}}, "mask", "invalid_image_file"},
      {{prompt, image, {"n", "0"}}, "n", "integer_below_min_value"},
      {{prompt, image, {"n", "abc"}}, "n", "invalid_type"},
      {{prompt, image, {"n", "2.5"}}, "n", "invalid_type"},
      {{prompt, image, {"size", "512"}}, "size", "invalid_value"},
      {{prompt, image, {"size", "9000x9000"}}, "size", "invalid_value"},
      {{prompt, image, {"stream", "yes"}}, "stream", "invalid_type"},
      {{prompt, image, {"stream", "true"}, {"n", "2"}}, "n", "unsupported_parameter"},
      {{prompt, image, {"strength", "2"}}, "strength", "decimal_above_max_value"},
      {{prompt, image, {"seed", "1.5"}}, "seed", "invalid_value"},
      {{prompt, image, {"response_format", "png"}}, "response_format", "invalid_value"},
      {{prompt, image, {"model", "nope"}}, "model", "model_not_found"},
      {{prompt, image, {"timesteps", "x"}}, "timesteps", "invalid_type"},
      {{prompt, image, {"input_fidelity", "middling"}}, "input_fidelity", "invalid_value"},
      {{prompt, image, {"images", kPng, true}}, "images", "invalid_value"},
      {{{"prompt", "\xff"}, image}, "prompt", "invalid_value"}};
  for (const auto& [parts, param, code] : faults) {
    const auto response = client.exchange(edit_request(form_text(parts)));
    SCOPED_TRACE(response.body);
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(error_of(response)["param"], param);
    EXPECT_EQ(error_of(response)["code"], code);
    EXPECT_EQ(error_of(response)["type"], "invalid_request_error");
  }
  EXPECT_TRUE(server.engine.requests().empty());
  EXPECT_EQ(client.exchange(edit_request(form_text({prompt, image}))).status, 200) << "on the same connection";
}

TEST(Edits, SpellingsOfOtherBodiesAreRefusedByName) {
  const RunningServer server;
  const auto in_form = edit(server, {{"prompt", "a cat"}, {"image", kPng, true}, {"images", kPng, true}});
  EXPECT_EQ(in_form.status, 400);
  EXPECT_EQ(error_of(in_form)["param"], "images");
  EXPECT_EQ(edit(server, {{"prompt", "a cat"}, {"image", kPng, true}, {"images[]", "x"}}).status, 400);
  const auto both = edit_json(
      server, {{"prompt", "a cat"}, {"images", {{{"image_url", base64_encode(kPng)}, {"file_id", "file-1"}}}}});
  EXPECT_EQ(both.status, 400);
  EXPECT_NE(error_of(both)["message"].get<std::string>().find("`file_id`"), std::string::npos) << both.body;
}

TEST(Edits, MalformedFormsReturn400) {
  const RunningServer server;
  const auto body = form_text({{"prompt", "a cat"}, {"image", kPng, true}});
  for (const char* type : {"text/plain", "multipart/form-data", "multipart/form-data; boundary=other", "image/png",
                           "multipart/mixed; boundary=xYzZY"}) {
    EXPECT_EQ(server.ask(edit_request(body, "/v1/images/edits", type)).status, 400) << type;
  }
  EXPECT_EQ(server.ask(request_text("POST", "/v1/images/edits", body)).status, 400) << "without a type";
  RawClient client(server.port);
  for (const std::string& broken :
       {body.substr(0, body.size() - 10), body.substr(1), std::string("x"), "\r\n" + body.substr(9)}) {
    const auto response = client.exchange(edit_request(broken));
    EXPECT_EQ(response.status, 400) << broken.substr(0, 60);
    EXPECT_EQ(error_of(response).size(), 4u);
  }
  EXPECT_EQ(client.exchange(edit_request("\r\n" + body)).status, 200) << "a preamble, on the same connection";
}

TEST(Edits, OversizedBodiesReturn413) {
  const RunningServer server({.max_body_bytes = 1000, .max_image_bytes = 5000});
  const std::string text(900, 'x');
  EXPECT_EQ(edit(server, {{"prompt", text}, {"image", kPng, true}, {"mask", kPng, true}}).status, 200);
  const auto texts = edit(server, {{"prompt", text}, {"negative_prompt", text}, {"image", kPng, true}});
  EXPECT_EQ(texts.status, 413);
  EXPECT_EQ(error_of(texts)["param"], "negative_prompt");
  const auto file = edit(server, {{"prompt", "x"}, {"image", kPng + std::string(5000, 'x'), true}});
  EXPECT_EQ(file.status, 413);
  EXPECT_EQ(error_of(file)["param"], "image");
  const auto base64 = edit_json(server, {{"prompt", "x"}, {"image", base64_encode(kPng + std::string(5000, 'x'))}});
  EXPECT_EQ(base64.status, 413);
  EXPECT_EQ(error_of(base64)["param"], "image");

  RawClient declared(server.port);
  declared.send("POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + form_type() +
                "\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(declared.read().status, 413) << "before any byte of it is sent";
  const auto endless = edit_request(form_text({{"image", std::string(200'000, 'x'), true}}));
  EXPECT_EQ(server.ask(chunked(endless, 10'000)).status, 413);
}

// Only the images may be as long as images; a million numbers or names may not.
TEST(Edits, JsonOutsideImagesIsBounded) {
  const RunningServer server({.max_body_bytes = 1000, .max_image_bytes = 50'000});
  const auto image = base64_encode(kPng + std::string(3000, 'x'));  // bytes after the end of an image are ignored
  const nlohmann::json plain = {{"prompt", "a \"cat\\"}, {"image", image}, {"mask", image}};
  EXPECT_EQ(edit_json(server, plain).status, 200);
  auto numbers = plain, names = plain, texts = plain;
  numbers["more"] = std::vector<int>(1000, 1);
  for (int i = 0; i < 200; ++i) names["name" + std::to_string(i)] = i;
  texts["negative_prompt"] = std::string(1000, 'x');
  for (const auto& body : {numbers, names, texts}) {
    const auto response = edit_json(server, body);
    EXPECT_EQ(response.status, 413) << response.body;
    EXPECT_NE(error_of(response).value("message", "").find("in addition to its images"), std::string::npos)
        << response.body;
  }
  for (const char* cut : {R"({"a": "b)", R"({"a": "b\)", R"({"a)"}) {
    EXPECT_EQ(server.ask(edit_request(cut, "/v1/images/edits", "application/json")).status, 400) << cut;
  }
}

TEST(Edits, MissingKeyReturns401BeforeTheBodyIsParsed) {
  const RunningServer server({.api_keys = {"key"}});
  EXPECT_EQ(edit(server, {{"prompt", "x"}, {"image", kPng, true}}).status, 401);
  EXPECT_EQ(server.ask(edit_request("", "/v1/images/edits")).status, 401);
}

TEST(Edits, UpscalersAreServedOnlyByTheUpscaleRoute) {
  const RunningServer server({}, {}, with_upscaler());
  const std::vector<Part> parts = {{"prompt", "a cat"}, {"image", kPng, true}};
  for (const char* path : {"/v1/images/upscale", "/images/upscale"}) {
    EXPECT_EQ(edit(server, parts, path).status, 200);
    const auto request = server.engine.requests().back();
    EXPECT_EQ(request.model, "larger");
    EXPECT_EQ(request.width, 64);
    EXPECT_EQ(request.height, 48);
  }
  EXPECT_EQ(edit(server, {{"image", kPng, true}}, "/v1/images/upscale").status, 200) << "a prompt is optional";
  EXPECT_EQ(edit(server, {{"image", kPng, true}, {"model", "larger"}, {"size", "40x40"}}, "/v1/images/upscale").status,
            200);
  EXPECT_EQ(server.engine.requests().back().image->width, 20);
  EXPECT_EQ(edit(server, {{"image", kPng, true}, {"model", "dall-e-2"}}, "/v1/images/upscale").status, 200);
  EXPECT_EQ(edit(server, {{"image", kPng, true}, {"noise_level", "20"}}, "/v1/images/upscale").status, 200);
  EXPECT_EQ(server.engine.requests().back().noise_level, 20);

  const auto named = edit(server, {{"image", kPng, true}, {"model", "tiny"}}, "/v1/images/upscale");
  EXPECT_EQ(named.status, 400);
  EXPECT_EQ(error_of(named)["param"], "model");
  auto with_model = parts;
  with_model.push_back({"model", "larger"});
  EXPECT_EQ(error_of(edit(server, with_model))["param"], "model");
  EXPECT_EQ(error_of(server.draw(R"({"prompt":"a cat","model":"larger"})"))["param"], "model");
  EXPECT_EQ(server.get("/v1/models/larger").json()["modes"], nlohmann::json({"upscaling"}));
  EXPECT_EQ(server.get("/v1/models/larger").json()["upscale_factor"], 2);

  const RunningServer without;
  const auto none = edit(without, parts, "/v1/images/upscale");
  EXPECT_EQ(none.status, 400);
  EXPECT_EQ(error_of(none)["param"], "model");
  EXPECT_NE(error_of(none)["message"].get<std::string>().find("upscales"), std::string::npos);
}

TEST(Edits, ModelsThatNeedAnImageRejectTextToImage) {
  auto inpainting = tiny_model("inpainting"), refiner = tiny_model("refiner");
  inpainting.needs_image = inpainting.needs_mask = refiner.needs_image = true;
  const RunningServer server({}, {}, {inpainting, refiner});
  for (const char* model : {"inpainting", "refiner"}) {
    const auto response = server.draw(std::string(R"({"prompt":"a cat","model":")") + model + "\"}");
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(error_of(response)["param"], "model");
  }
  EXPECT_EQ(error_of(edit(server, {{"prompt", "x"}, {"image", kPng, true}}))["param"], "mask");
  EXPECT_EQ(edit(server, {{"prompt", "x"}, {"image", kPng, true}, {"model", "refiner"}}).status, 200);
  EXPECT_EQ(error_of(edit(server, {{"image", kPng, true}}, "/v1/images/variations"))["param"], "model");
  EXPECT_EQ(server.get("/v1/models/inpainting").json()["modes"], nlohmann::json({"inpainting"}));
  EXPECT_EQ(server.get("/v1/models/refiner").json()["modes"], nlohmann::json({"image-to-image"}));
}

TEST(Edits, ModelsThatTakeNoImageRejectEdits) {
  auto prompts_only = tiny_model("prompts-only");
  prompts_only.max_input_images = 0;
  const RunningServer server({}, {}, {prompts_only});
  for (const char* route : {"/v1/images/edits", "/v1/images/variations"}) {
    const auto response = edit(server, {{"prompt", "x"}, {"image", kPng, true}}, route);
    EXPECT_EQ(response.status, 400) << route;
    EXPECT_EQ(error_of(response)["param"], "model") << route;
  }
  EXPECT_EQ(server.draw(R"({"prompt":"a cat"})").status, 200);
  EXPECT_EQ(server.get("/v1/models/prompts-only").json()["modes"], nlohmann::json({"text-to-image"}));
}

TEST(Edits, VariationsNeedNoPrompt) {
  const RunningServer server;
  const auto response = edit(server, {{"image", kPng, true}, {"n", "2"}, {"size", "64x64"}}, "/v1/images/variations");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.json()["data"].size(), 2u);
  const auto request = server.engine.requests().back();
  EXPECT_EQ(request.prompt, "");
  EXPECT_FALSE(request.strength);
  EXPECT_EQ(request.width, 64);
  EXPECT_EQ(error_of(edit(server, {{"image", kPng, true}, {"mask", kPng, true}}, "/v1/images/variations"))["param"],
            "mask");
}

TEST(Edits, AzureDeploymentPathSelectsTheModel) {
  const RunningServer server({}, {}, {tiny_model("tiny"), tiny_model("other")});
  EXPECT_EQ(edit(server, {{"prompt", "x"}, {"image", kPng, true}}, "/openai/deployments/other/images/edits").status,
            200);
  EXPECT_EQ(server.engine.requests().back().model, "other");
}

TEST(Edits, WrongMethodReturns405WithAllow) {
  const RunningServer server;
  for (const char* path : {"/v1/images/edits", "/v1/images/upscale", "/v1/images/variations"}) {
    const auto response = server.get(path);
    EXPECT_EQ(response.status, 405) << path;
    EXPECT_EQ(response.header("allow"), "POST, OPTIONS");
  }
}

}  // namespace
}  // namespace easel::test
