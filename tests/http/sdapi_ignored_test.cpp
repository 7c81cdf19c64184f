// What A1111's API is sent and cannot honour: it never fails a request, and the answer names it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base64.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using nlohmann::json;

Response post_to(const RunningServer& server, const std::string& route, json body) {
  body.emplace("prompt", "a cat");
  return server.ask(request_text("POST", "/sdapi/v1/" + route, body.dump()));
}

std::string gray_image(int width, int height, std::uint8_t gray) {
  const auto bytes = static_cast<std::size_t>(width * height * Image::kChannels);
  return base64_encode(
      encode_png({.width = width, .height = height, .pixels = std::vector<std::uint8_t>(bytes, gray)}));
}

// The sorted names, after a request that must succeed.
json ignored_by(const RunningServer& server, const std::string& route, const json& body) {
  const auto response = post_to(server, route, body);
  EXPECT_EQ(response.status, 200) << response.body;
  const auto answer = response.json();
  const auto ignored = answer["parameters"].value("ignored", json::array());
  EXPECT_EQ(json::parse(answer["info"].get<std::string>()).value("ignored", json::array()), ignored);
  return ignored;
}

TEST(SdapiIgnored, OtherThanNeutralValuesAreNamed) {
  const RunningServer server;
  const json neutral = {
      {"distilled_cfg_scale", nullptr}, {"s_noise", 1}, {"s_tmin", 0}, {"s_tmax", 0}, {"refiner_switch_at", 0},
      {"disable_extra_networks", false}};
  EXPECT_EQ(ignored_by(server, "txt2img", neutral), json::array());
  const json others = {
      {"distilled_cfg_scale", 3.5},    {"s_noise", 0.5}, {"s_tmin", 0.1}, {"s_tmax", 9}, {"refiner_switch_at", 0.8},
      {"disable_extra_networks", true}};
  for (const auto& [name, value] : others.items()) {
    EXPECT_EQ(ignored_by(server, "txt2img", {{name, value}}), json::array({name}));
  }
}

TEST(SdapiIgnored, ASecondPassIsThatOfTheFirstsSettings) {
  const RunningServer server;
  const json changes = {{"hr_sampler_name", "Euler"},
                        {"hr_scheduler", "Karras"},
                        {"hr_prompt", "a dog"},
                        {"hr_negative_prompt", "fog"},
                        {"hr_cfg", 3},
                        {"hr_checkpoint_name", "other"},
                        {"firstphase_width", 16}};
  for (const auto& [name, value] : changes.items()) {
    EXPECT_EQ(ignored_by(server, "txt2img", {{"enable_hr", true}, {name, value}}), json::array({name}));
    EXPECT_EQ(ignored_by(server, "txt2img", {{name, value}}), json::array()) << "inert without enable_hr";
  }
  const json same = {{"enable_hr", true},
                     {"cfg_scale", 7},
                     {"hr_sampler_name", "Use same sampler"},
                     {"hr_checkpoint_name", "Use same checkpoint"},
                     {"hr_additional_modules", {"Use same choices"}},
                     {"hr_prompt", "a cat"},
                     {"hr_cfg", 7.0}};
  EXPECT_EQ(ignored_by(server, "txt2img", same), json::array());
}

TEST(SdapiIgnored, ImagesBeyondThoseThatTheModelTakesAreNamed) {
  auto many = tiny_model("many");
  many.max_input_images = 3;
  const RunningServer server({}, {}, {tiny_model("tiny"), many});
  const json three = {gray_image(24, 16, 1), gray_image(24, 16, 2), gray_image(24, 16, 3)};
  EXPECT_EQ(ignored_by(server, "img2img", {{"init_images", three}}), json({"init_images"}));
  EXPECT_TRUE(server.engine.requests().back().more_images.empty());
  EXPECT_EQ(server.engine.requests().back().image->pixels.front(), 1);
  EXPECT_EQ(ignored_by(server, "img2img", {{"init_images", three}, {"model", "many"}}), json::array());
  const auto request = server.engine.requests().back();
  ASSERT_EQ(request.more_images.size(), 2u);
  EXPECT_EQ(request.more_images[1]->pixels.front(), 3);
}

TEST(SdapiIgnored, AStrengthThatLeavesNoStepIsRaisedToOneStep) {
  const RunningServer server;
  const json image = {gray_image(24, 16, 9)};
  const auto strength_of = [&](double strength, int steps, const json& ignored) {
    const json body = {{"init_images", image}, {"denoising_strength", strength}, {"steps", steps}};
    EXPECT_EQ(ignored_by(server, "img2img", body), ignored);
    return server.engine.requests().back().strength.value_or(-1);
  };
  EXPECT_EQ(strength_of(0.25, 4, json::array()), 0.25);
  for (const int steps : {1, 3, 20, 49}) {
    const auto strength = strength_of(0, steps, {"denoising_strength"});
    EXPECT_EQ(static_cast<int>(steps * strength), 1) << steps;
    EXPECT_LE(strength, 1) << steps;
  }
  const json second_pass = {{"enable_hr", true}, {"denoising_strength", 0.01}, {"steps", 10}};
  EXPECT_EQ(ignored_by(server, "txt2img", second_pass), json({"denoising_strength"}));
  EXPECT_EQ(server.engine.requests().back().hires->strength, 0.1);
}

TEST(SdapiIgnored, BlursOfOneAxisAreNamedWithAMask) {
  const RunningServer server;
  json body = {{"init_images", {gray_image(24, 16, 9)}}, {"mask_blur_x", 4}, {"mask_blur_y", 9}};
  EXPECT_EQ(ignored_by(server, "img2img", body), json::array());
  body["mask"] = gray_image(24, 16, 255);
  EXPECT_EQ(ignored_by(server, "img2img", body), json({"mask_blur_y"}));
  body["mask_blur"] = 9;
  EXPECT_EQ(ignored_by(server, "img2img", body), json::array());
}

TEST(SdapiIgnored, FieldsThatTheModelCannotUseHaveTheirMembersNames) {
  auto model = tiny_model("tiny");
  model.unused_fields = {"guidance_scale", "strength"};
  const RunningServer server({}, {}, {model});
  EXPECT_EQ(ignored_by(server, "txt2img", {{"cfg_scale", 7}}), json({"cfg_scale"}));
  const json image = {gray_image(24, 16, 9)};
  EXPECT_EQ(ignored_by(server, "img2img", {{"init_images", image}, {"denoising_strength", 0.5}}),
            json({"denoising_strength"}));
  EXPECT_EQ(ignored_by(server, "img2img", {{"init_images", image}}), json::array()) << "it was not sent";
}

TEST(SdapiErrors, NameTheMembersThatWereSent) {
  const RunningServer server;
  const auto message_of = [&](const json& body) { return post_to(server, "txt2img", body).json().value("detail", ""); };
  EXPECT_NE(message_of({{"steps", 100000}}).find("`steps`"), std::string::npos);
  EXPECT_NE(message_of({{"batch_size", 5000}}).find("`batch_size`"), std::string::npos);
  EXPECT_NE(message_of({{"cfg_scale", 5000}}).find("`cfg_scale`"), std::string::npos);
  EXPECT_NE(message_of({{"enable_hr", true}, {"hr_scale", 100}}).find("`hr_scale`"), std::string::npos);
  EXPECT_NE(message_of({{"enable_hr", true}, {"hr_second_pass_steps", 9999}}).find("`hr_second_pass_steps`"),
            std::string::npos);
}

TEST(SdapiErrors, PathsThatAreNotServedHaveA1111sErrors) {
  const RunningServer server;
  const auto nowhere = server.get("/sdapi/v1/nowhere");
  EXPECT_EQ(nowhere.status, 404);
  const auto wrong = server.get("/sdapi/v1/txt2img");
  EXPECT_EQ(wrong.status, 405);
  for (const auto& response : {nowhere, wrong}) {
    for (const char* member : {"error", "detail", "body", "errors"}) EXPECT_TRUE(response.json().contains(member));
    EXPECT_TRUE(response.json()["error"].is_string()) << response.body;
  }
  EXPECT_TRUE(server.get("/v1/nowhere").json()["error"].is_object());
}

TEST(SdapiNames, TheModelsOwnSchedulerHasA1111sName) {
  auto model = tiny_model("tiny");
  const auto named = [&](const char* scheduler) {
    model.schedulers.emplace_back(scheduler);
    model.default_scheduler = scheduler;
    const RunningServer server({}, {}, {model});
    const auto info = json::parse(post_to(server, "txt2img", json::object()).json()["info"].get<std::string>());
    EXPECT_EQ(server.engine.requests().back().scheduler, scheduler);
    const auto text = info["infotexts"][0].get<std::string>();
    const auto at = text.find("Schedule type: ");
    return std::pair(info["sampler_name"].get<std::string>(), text.substr(at, text.find(',', at) - at));
  };
  EXPECT_EQ(named("dpmpp_2m"), std::pair(std::string("DPM++ 2M"), std::string("Schedule type: Automatic")));
  EXPECT_EQ(named("dpmpp_2m_karras"), std::pair(std::string("DPM++ 2M"), std::string("Schedule type: Karras")));
  EXPECT_EQ(named("dpmpp_2m_sde"), std::pair(std::string("DPM++ 2M SDE"), std::string("Schedule type: Automatic")));
  EXPECT_EQ(named("euler_ancestral"), std::pair(std::string("Euler a"), std::string("Schedule type: Automatic")));
  EXPECT_EQ(named("flow_euler"), std::pair(std::string("Euler"), std::string("Schedule type: Automatic")));
  EXPECT_EQ(named("sa_solver"), std::pair(std::string("sa_solver"), std::string("Schedule type: Automatic")));
}

TEST(SdapiNames, ModelsOfFlowMatchingHaveSamplersOfTheirOwn) {
  auto model = tiny_model("flow");
  model.default_scheduler = "flow_lcm";
  model.schedulers = {"flow_lcm", "flow_euler", "flow_euler_beta"};
  const RunningServer server({}, {}, {model});
  EXPECT_EQ(ignored_by(server, "txt2img", {{"sampler_name", "Euler"}}), json::array());
  EXPECT_EQ(server.engine.requests().back().scheduler, "flow_euler");
  EXPECT_EQ(ignored_by(server, "txt2img", {{"sampler_name", "Euler"}, {"scheduler", "Beta"}}), json::array());
  EXPECT_EQ(server.engine.requests().back().scheduler, "flow_euler_beta");
  EXPECT_EQ(ignored_by(server, "txt2img", {{"sampler_name", "DPM++ 2M"}}), json({"sampler_name"}));
  EXPECT_EQ(server.engine.requests().back().scheduler, "flow_lcm");
}

}  // namespace
}  // namespace easel::test
