// Jobs and idempotency keys, as clients see them.
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "core/base64.h"
#include "core/text.h"
#include "easel/image.h"
#include "http/openai/jobs/kept_requests.h"
#include "http/support/form_text.h"
#include "http/support/running_server.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;

constexpr char kBody[] = R"({"prompt":"a cat","seed":5,"model":"tiny"})";
const Fields kAsync = {{"Prefer", "respond-async"}};

GenerationRequest cat() {
  GenerationRequest request;
  request.prompt = "a cat";
  request.seed = 5;
  return request;
}

Fields with_key(const std::string& key, Fields more = {}) {
  more.emplace_back("Idempotency-Key", key);
  return more;
}

Response as(const RunningServer& server, const std::string& method, const std::string& path, const std::string& key) {
  return server.ask(request_text(method, path, "", {{"Authorization", "Bearer " + key}}));
}

// Waits until the job has ended. @return it
nlohmann::json ended_job(const RunningServer& server, const std::string& path) {
  nlohmann::json job;
  EXPECT_TRUE(eventually([&] {
    job = server.get(path).json();
    return job["status"] != "queued" && job["status"] != "running";
  }));
  return job;
}

std::string error_code(const Response& response) {
  return response.json()["error"]["code"];
}

TEST(Jobs, AreAnsweredAtOnceAndReadLater) {
  RunningServer server;
  const auto plain = server.draw(kBody).json();
  server.engine.hold(true);
  server.engine.set_position({.ahead = 3, .wait_seconds = 2.5});
  const auto accepted = server.draw(kBody, kAsync);
  EXPECT_EQ(accepted.status, 202);
  EXPECT_EQ(accepted.header("preference-applied"), "respond-async");
  const auto path = accepted.header("location");
  const auto job = accepted.json();
  EXPECT_EQ(path, "/v1/images/jobs/" + job["id"].get<std::string>());
  EXPECT_EQ(job["object"], "image.job");
  EXPECT_EQ(job["status"], "queued");
  EXPECT_NEAR(job["created_at"].get<double>(), std::time(nullptr), 5);
  EXPECT_EQ(job["position"], 3);
  EXPECT_EQ(job["seconds_left"], 2.5);
  EXPECT_TRUE(job["result"].is_null() && job["error"].is_null());
  EXPECT_FALSE(job.contains("preview"));
  EXPECT_EQ(server.get(path).json(), job);
  server.engine.hold(false);
  const auto done = ended_job(server, path);
  EXPECT_EQ(done["status"], "completed");
  EXPECT_EQ(done["result"]["data"], plain["data"]) << "the ordinary answer";
  EXPECT_EQ(done["result"]["size"], plain["size"]);
  EXPECT_TRUE(done["error"].is_null());
  EXPECT_EQ(server.get(path).json(), done) << "as often as one likes";
}

TEST(Jobs, AllImageRoutesHaveThem) {
  auto upscaler = tiny_model("twice");
  upscaler.upscale_factor = 2;
  const RunningServer server({}, {}, {tiny_model("tiny"), upscaler});
  const auto image = base64_encode(encode_png({.width = 24, .height = 16, .pixels = std::vector<std::uint8_t>(1152)}));
  for (const char* route : {"generations", "edits", "variations", "upscale"}) {
    const auto body = std::string(route) == "generations" ? std::string(kBody)
                                                          : concat(R"({"prompt":"a cat","image":")", image, "\"}");
    const auto response =
        server.ask(request_text("POST", concat("/v1/images/", route), body,
                                {{"Content-Type", "application/json"}, {"Prefer", "wait=5, Respond-Async"}}));
    EXPECT_EQ(response.status, 202) << route << response.body;
    EXPECT_EQ(ended_job(server, response.header("location"))["status"], "completed") << route;
  }
  EXPECT_EQ(server.draw(kBody, {{"Prefer", "return=minimal"}}).status, 200);
  EXPECT_EQ(server.draw(R"({"prompt":""})", kAsync).status, 400) << "what is invalid is refused at once";
}

TEST(Jobs, ThePreviewComesOnlyWhenAskedFor) {
  RunningServer server;
  server.engine.hold(true);
  const auto path = server.draw(kBody, kAsync).header("location");
  EXPECT_TRUE(server.get(path + "?preview=1").json()["preview"].is_null());
  const Image preview{.width = 3, .height = 2, .pixels = std::vector<std::uint8_t>(18, 100)};
  server.engine.report({.kind = ProgressEvent::Kind::kStep, .progress = {2, 8}, .preview = preview});
  EXPECT_EQ(server.get(path + "?a=b&preview=1").json()["preview"],
            "data:image/png;base64," + base64_encode(encode_png(preview)));
  EXPECT_FALSE(server.get(path).json().contains("preview"));
}

TEST(Jobs, CanBeCancelled) {
  RunningServer server;
  server.engine.hold(true);
  const auto path = server.draw(kBody, kAsync).header("location");
  const auto answer = server.ask(request_text("DELETE", path));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.json()["status"], "cancelled");
  EXPECT_EQ(server.engine.cancelled(), 1u);
  EXPECT_EQ(server.ask(request_text("DELETE", path)).json()["status"], "cancelled");
  const auto job = ended_job(server, path);
  EXPECT_EQ(job["status"], "cancelled");
  EXPECT_TRUE(job["result"].is_null() && job["error"].is_null());
  server.engine.hold(false);
  const auto done = server.draw(kBody, kAsync).header("location");
  EXPECT_EQ(ended_job(server, done)["status"], "completed");
  EXPECT_EQ(server.ask(request_text("DELETE", done)).json()["status"], "completed") << "it has ended";
  EXPECT_EQ(server.engine.cancelled(), 1u);
}

TEST(Jobs, SayWhyTheyFailed) {
  RunningServer server;
  server.engine.fail_generation(Error(ErrorCode::kDeadlineExceeded, "too late"));
  const auto job = ended_job(server, server.draw(kBody, kAsync).header("location"));
  EXPECT_EQ(job["status"], "failed");
  EXPECT_EQ(job["error"]["message"], "too late");
  EXPECT_EQ(job["error"]["code"], "deadline_exceeded");
  EXPECT_EQ(job["error"].size(), 4u);
  EXPECT_TRUE(job["result"].is_null());
}

TEST(Jobs, AreTheirAccountsOwn) {
  RunningServer server({.api_keys = {"key-a", "key-b"}});
  server.engine.hold(true);
  const auto path =
      server.draw(kBody, {{"Prefer", "respond-async"}, {"Authorization", "Bearer key-a"}}).header("location");
  EXPECT_EQ(as(server, "GET", path, "key-a").status, 200);
  EXPECT_EQ(as(server, "GET", path, "key-b").status, 404);
  EXPECT_EQ(as(server, "DELETE", path, "key-b").status, 404);
  EXPECT_EQ(server.engine.cancelled(), 0u);
  EXPECT_EQ(server.get(path).status, 401);
  EXPECT_EQ(as(server, "GET", "/v1/images/jobs/" + std::string(32, '0'), "key-a").status, 404);
}

TEST(Jobs, ResultsThatMadeRoomForOthersAreExpired) {
  const auto file_bytes = encode_png(fake_image(cat(), 0).image).size();
  const RunningServer server({.image_store_bytes = file_bytes + file_bytes / 2});
  const auto first = server.draw(kBody, kAsync).header("location");
  EXPECT_TRUE(ended_job(server, first)["result"].is_object());
  const auto second = server.draw(kBody, kAsync).header("location");
  EXPECT_TRUE(ended_job(server, second)["result"].is_object());
  const auto job = server.get(first).json();
  EXPECT_EQ(job["status"], "completed");
  EXPECT_TRUE(job["result"].is_null());
  EXPECT_EQ(job["error"]["code"], "result_expired");
}

TEST(Jobs, LinksStayTheSame) {
  const RunningServer server;
  const auto path = server.draw(R"({"prompt":"a cat","response_format":"url"})", kAsync).header("location");
  const auto link = ended_job(server, path)["result"]["data"][0]["url"];
  ASSERT_TRUE(link.is_string());
  EXPECT_EQ(server.get(path).json()["result"]["data"][0]["url"], link);
  const auto text = link.get<std::string>();
  EXPECT_EQ(server.get(text.substr(text.find("/v1/"))).header("content-type"), "image/png");
}

TEST(Jobs, BrowsersMayCancelThemAndReadTheirHeaders) {
  const RunningServer server({.allowed_origins = {"https://chat.example"}});
  const auto preflight =
      server.ask(request_text("OPTIONS", "/v1/images/jobs/x", "",
                              {{"Origin", "https://chat.example"}, {"Access-Control-Request-Method", "DELETE"}}));
  EXPECT_NE(preflight.header("access-control-allow-methods").find("DELETE"), std::string::npos);
  const auto exposed = server.draw(kBody, {{"Origin", "https://chat.example"}}).header("access-control-expose-headers");
  EXPECT_NE(exposed.find("location"), std::string::npos);
  EXPECT_NE(exposed.find("idempotent-replayed"), std::string::npos);
}

TEST(IdempotencyKey, TheSameRequestIsAnsweredAgain) {
  const RunningServer server;
  const auto first = server.draw(R"({"prompt":"a cat","n":2})", with_key("k"));
  EXPECT_EQ(first.status, 200);
  EXPECT_FALSE(first.has("idempotent-replayed"));
  const auto again = server.draw("{ \"n\": 2.0, \"size\": null,\n \"prompt\": \"a cat\" }", with_key("k"));
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  EXPECT_EQ(again.body, first.body) << "the drawn seed, too";
  EXPECT_EQ(server.engine.requests().size(), 1u);
}

TEST(IdempotencyKey, AnotherRequestIsRefused) {
  const RunningServer server;
  EXPECT_EQ(server.draw(kBody, with_key("k")).status, 200);
  const auto other = server.draw(R"({"prompt":"a dog","seed":5,"model":"tiny"})", with_key("k"));
  EXPECT_EQ(other.status, 400) << "SDKs retry a 409";
  EXPECT_EQ(error_code(other), "idempotency_key_reused");
  EXPECT_EQ(server.draw(kBody, with_key("k")).header("idempotent-replayed"), "true");
  EXPECT_EQ(server.draw(kBody, with_key(std::string(255, 'k'))).status, 200);
  EXPECT_EQ(server.draw(kBody, with_key(std::string(256, 'k'))).status, 400);
  EXPECT_EQ(server.draw(kBody, with_key("")).status, 400);
}

TEST(IdempotencyKey, FilesCountByTheirBytes) {
  const RunningServer server;
  const auto edit = [&](std::uint8_t gray, const std::string& prompt) {
    const auto image = encode_png({.width = 24, .height = 16, .pixels = std::vector<std::uint8_t>(1152, gray)});
    return server.ask(request_text("POST", "/v1/images/edits",
                                   form_text({{"prompt", prompt}, {"image", image, true}, {"seed", "3"}}),
                                   with_key("k", {{"Content-Type", form_type()}})));
  };
  EXPECT_EQ(edit(7, "a cat").status, 200);
  EXPECT_EQ(edit(7, "a cat").header("idempotent-replayed"), "true");
  EXPECT_EQ(error_code(edit(8, "a cat")), "idempotency_key_reused");
  EXPECT_EQ(error_code(edit(7, "a dog")), "idempotency_key_reused");
}

TEST(IdempotencyKey, ARetryJoinsTheRunningRequest) {
  RunningServer server;
  server.engine.hold(true);
  {
    RawClient impatient(server.port);
    impatient.send(image_request(kBody, with_key("k")));
    ASSERT_TRUE(eventually([&] { return server.engine.requests().size() == 1; }));
  }
  RawClient patient(server.port), joined(server.port);
  patient.send(image_request(kBody, with_key("k")));
  joined.send(image_request(R"({"prompt":"a dog"})", with_key("other")));
  ASSERT_TRUE(eventually([&] { return server.engine.requests().size() == 2; })) << "the one of the other key";
  server.engine.hold(false);
  const auto response = patient.read();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("idempotent-replayed"), "true");
  EXPECT_EQ(joined.read().status, 200);
  EXPECT_EQ(server.engine.cancelled(), 0u) << "the first client's leaving did not end it";
}

TEST(IdempotencyKey, IsItsAccountsOwn) {
  const RunningServer server({.api_keys = {"key-a", "key-b"}});
  EXPECT_EQ(server.draw(kBody, with_key("k", {{"Authorization", "Bearer key-a"}})).status, 200);
  const auto other = server.draw(kBody, with_key("k", {{"Authorization", "Bearer key-b"}}));
  EXPECT_EQ(other.status, 200);
  EXPECT_FALSE(other.has("idempotent-replayed"));
}

TEST(IdempotencyKey, FailuresAreNotKept) {
  RunningServer server;
  server.engine.fail_generation(Error(ErrorCode::kInternal, "no"));
  EXPECT_EQ(server.draw(kBody, with_key("k")).status, 500);
  server.engine.fail_generation(std::nullopt);
  const auto again = server.draw(kBody, with_key("k"));
  EXPECT_EQ(again.status, 200);
  EXPECT_FALSE(again.has("idempotent-replayed"));
}

TEST(IdempotencyKey, AnswersWhoseImagesAreGoneAreMadeAgain) {
  const RunningServer server({.image_store_bytes = 0});
  EXPECT_EQ(server.draw(kBody, with_key("k")).status, 200) << "an image that does not fit is still answered";
  const auto again = server.draw(kBody, with_key("k"));
  EXPECT_EQ(again.status, 200);
  EXPECT_FALSE(again.has("idempotent-replayed"));
  EXPECT_EQ(server.engine.requests().size(), 2u);
}

TEST(IdempotencyKey, NamesAJobToo) {
  RunningServer server;
  server.engine.hold(true);
  const auto first = server.draw(kBody, with_key("k", kAsync));
  const auto again = server.draw(kBody, with_key("k", kAsync));
  EXPECT_EQ(again.status, 202);
  EXPECT_EQ(again.header("location"), first.header("location"));
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  server.engine.hold(false);
  ended_job(server, first.header("location"));
  const auto whole = server.draw(kBody, with_key("k"));
  EXPECT_EQ(whole.status, 200) << "the answer itself, when it is not asked for as a job";
  EXPECT_EQ(whole.header("idempotent-replayed"), "true");
}

TEST(IdempotencyKey, StreamsAreReplayedWithTheirImage) {
  const RunningServer server;
  const std::string body = R"({"prompt":"a cat","stream":true})";
  RawClient first(server.port), second(server.port);
  first.send(image_request(body, with_key("k")));
  EXPECT_EQ(first.read().status, 200);
  const auto event = first.read_chunk();
  ASSERT_TRUE(event);
  second.send(image_request(body, with_key("k")));
  EXPECT_EQ(second.read().header("idempotent-replayed"), "true");
  EXPECT_EQ(second.read_chunk(), event);
}

// A registry without a server.
TEST(KeptRequests, NobodyWaitsMeansNobodyWantsIt) {
  ScriptedEngine engine;
  engine.hold(true);
  http::ImageStore store(1 << 20, std::chrono::seconds(60));
  http::KeptRequests kept(store, {.grace = 30ms, .poll = 5ms});
  const auto submit = [&] { return http::AcceptedRequest{.job = engine.submit(cat(), {}), .context = {}}; };
  const auto keyed = kept.add_or_join("a", "k", "print", /*detached=*/false, submit);
  const auto job = kept.add("a", /*detached=*/true, submit);
  EXPECT_TRUE(eventually([&] { return engine.cancelled() == 1; }));
  EXPECT_TRUE(keyed.request->wait_for(5s));
  EXPECT_FALSE(job->wait_for(60ms)) << "a job waits for its reader";
  EXPECT_FALSE(kept.add_or_join("a", "k", "print", false, submit).replayed) << "a cancelled request is made again";
}

TEST(KeptRequests, AreForgottenAfterTheirTime) {
  ScriptedEngine engine;
  http::ImageStore store(1 << 20, std::chrono::seconds(60));
  http::KeptRequests kept(store, {.after_end = 50ms, .key = 50ms, .poll = 5ms});
  const auto submit = [&] { return http::AcceptedRequest{.job = engine.submit(cat(), {}), .context = {}}; };
  const auto job = kept.add("a", /*detached=*/true, submit);
  EXPECT_EQ(kept.find(job->id(), nullptr), job);
  kept.add_or_join("a", "k", "print", false, submit);
  EXPECT_TRUE(job->wait_for(5s));
  EXPECT_TRUE(eventually([&] { return kept.find(job->id(), nullptr) == nullptr; }));
  std::this_thread::sleep_for(60ms);
  EXPECT_FALSE(kept.add_or_join("a", "k", "another", false, submit).replayed) << "the key is free again";
}

// Results are kept for an hour, so that they must not be as large as bodies.
TEST(Jobs, ResultsListAHundredIgnoredFields) {
  RunningServer server;
  nlohmann::json body = {{"prompt", "a cat"}};
  for (int i = 100; i < 250; ++i) body[concat("field_", i, std::string(200, 'x'))] = 1;
  const auto all = server.draw(body.dump()).json()["ignored"];
  EXPECT_EQ(all.size(), 150u);
  const auto path = server.draw(body.dump(), kAsync).header("location");
  const auto listed = ended_job(server, path)["result"]["ignored"];
  ASSERT_EQ(listed.size(), 101u);
  EXPECT_EQ(listed[0], concat("field_100", std::string(51, 'x'), "..."));
  EXPECT_EQ(listed[100], "and 50 more");
}

}  // namespace
}  // namespace easel::test
