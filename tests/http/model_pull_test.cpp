// Operators bring and remove models over HTTP.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/mutex.h"
#include "easel/error.h"
#include "easel/server.h"
#include "http/support/running_server.h"
#include "support/fake_pipeline.h"

namespace easel::http {
namespace {

using test::RawClient;
using test::request_text;
using test::RunningServer;
using test::tiny_model;
using ::testing::HasSubstr;

/// A models folder whose downloads do what a test says.
class ScriptedLibrary : public ModelLibrary {
 public:
  Pulled pull(const std::string& name, const Progress& on_progress, const std::function<bool()>& stop) override {
    note("pull " + name);
    if (name == "unknown") throw Error(ErrorCode::kInvalidArgument, "`unknown` is not a model's name");
    if (name == "gated") throw Error(ErrorCode::kUnavailable, "accept its terms first");
    on_progress(10, 100);
    if (name == "slow") {
      while (!stop()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      note("stopped");
      throw Error(ErrorCode::kCancelled, "the download was stopped");
    }
    if (name == "breaks") {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      throw Error(ErrorCode::kCorruptData, "the checksum is wrong");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    on_progress(100, 100);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return {.model = name, .licence = "apache-2.0", .bytes = 100};
  }
  void check_removable(const ModelDescription& model) override {
    if (model.id == "own") throw Error(ErrorCode::kInvalidArgument, "own was not pulled by easel");
  }
  void remove(const ModelDescription& model) override {
    note("remove " + model.id);
    if (on_remove) on_remove();
  }
  std::vector<std::string> calls() const {
    const MutexLock lock(mutex_);
    return calls_;
  }

  std::function<void()> on_remove;  ///< called while the files are removed; may throw

 private:
  void note(std::string call) {
    const MutexLock lock(mutex_);
    calls_.push_back(std::move(call));
  }

  mutable Mutex mutex_;
  std::vector<std::string> calls_ EASEL_GUARDED_BY(mutex_);
};

struct Library {
  std::shared_ptr<ScriptedLibrary> library = std::make_shared<ScriptedLibrary>();
  RunningServer server{{.local_operator = true, .model_library = library},
                       {},
                       {tiny_model("tiny"), tiny_model("org/a b"), tiny_model("own")}};

  /// With all events in its body.
  test::Response pull(const std::string& body) const {
    RawClient client(server.port);
    auto response = client.exchange(request_text("POST", "/v1/models/pull", body));
    if (response.header("transfer-encoding") != "chunked") return response;
    while (const auto chunk = client.read_chunk()) response.body += *chunk;
    return response;
  }
  test::Response remove(const std::string& id) const { return server.ask(request_text("DELETE", "/v1/models/" + id)); }
};

TEST(ModelPull, ProgressIsAStreamOfEventsThatEndsWithTheModel) {
  const Library l;
  const auto response = l.pull(R"({"model": "sd15"})");
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.header("content-type"), HasSubstr("text/event-stream"));
  EXPECT_THAT(response.body, HasSubstr("event: model_pull.progress\ndata: {\"type\":\"model_pull.progress\","
                                       "\"done_bytes\":10,\"total_bytes\":100}\n\n"));
  EXPECT_THAT(response.body, HasSubstr("\"done_bytes\":100,"));
  EXPECT_THAT(response.body, HasSubstr("event: model_pull.completed\ndata: {\"type\":\"model_pull.completed\","
                                       "\"object\":\"model_pull\",\"model\":\"sd15\",\"licence\":\"apache-2.0\","
                                       "\"bytes\":100,\"was_there\":false,\"needs_conversion\":false}\n\n"));
}

TEST(ModelPull, WithoutAStreamTheResponseIsOneObjectAtTheEnd) {
  const Library l;
  const auto response = l.pull(R"({"model": "sd15", "stream": false})");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.json()["model"], "sd15");
  EXPECT_EQ(response.json()["bytes"], 100);
}

TEST(ModelPull, FailuresHaveAStatusBeforeTheFirstByteAndAnEventAfterIt) {
  const Library l;
  EXPECT_EQ(l.pull(R"({"model": "unknown"})").status, 400);
  const auto gated = l.pull(R"({"model": "gated"})");
  EXPECT_EQ(gated.status, 503);
  EXPECT_EQ(gated.json()["error"]["message"], "accept its terms first");
  const auto broken = l.pull(R"({"model": "breaks"})");
  EXPECT_EQ(broken.status, 200);
  EXPECT_THAT(broken.body, HasSubstr("event: error\n"));
  EXPECT_THAT(broken.body, HasSubstr("the checksum is wrong"));
  EXPECT_THAT(broken.body, HasSubstr("pull_failed"));
  EXPECT_EQ(l.pull(R"({"model": "breaks", "stream": false})").status, 500);
}

TEST(ModelPull, BodiesAreChecked) {
  const Library l;
  EXPECT_EQ(l.pull("{}").json()["error"]["param"], "model");
  EXPECT_EQ(l.pull(R"({"model": 1})").json()["error"]["code"], "invalid_type");
  EXPECT_EQ(l.pull(R"({"model": "sd15", "stream": "yes"})").json()["error"]["param"], "stream");
  EXPECT_EQ(l.pull("not JSON").status, 400);
  const auto address = l.pull(R"({"model": "https://169.254.169.254/latest"})");
  EXPECT_EQ(address.status, 400);
  EXPECT_THAT(address.json()["error"]["message"].get<std::string>(), HasSubstr("easel pull"));
  EXPECT_TRUE(l.library->calls().empty());
}

TEST(ModelPull, OneModelIsFetchedAtATimeAndAClientThatLeavesStopsIt) {
  const Library l;
  {
    RawClient client(l.server.port);
    client.send(request_text("POST", "/v1/models/pull", R"({"model": "slow"})"));
    ASSERT_TRUE(test::eventually([&] { return !l.library->calls().empty(); }));
    const auto second = l.pull(R"({"model": "sd15"})");
    EXPECT_EQ(second.status, 409);
    EXPECT_EQ(second.json()["error"]["code"], "pull_in_progress");
  }
  ASSERT_TRUE(test::eventually([&] { return l.library->calls().size() == 2; }));
  EXPECT_EQ(l.library->calls()[1], "stopped");
  ASSERT_TRUE(test::eventually([&] { return l.pull(R"({"model": "sd15"})").status == 200; }));
}

TEST(ModelPull, ShutdownStopsADownload) {
  Library l;
  RawClient client(l.server.port);
  client.send(request_text("POST", "/v1/models/pull", R"({"model": "slow"})"));
  ASSERT_TRUE(test::eventually([&] { return !l.library->calls().empty(); }));
  l.server.server->begin_shutdown();
  l.server.stop();
  EXPECT_EQ(l.library->calls().back(), "stopped");
}

TEST(ModelPull, IsForOperatorsOfAServerWithAModelsFolder) {
  const RunningServer none({.local_operator = true});
  const auto pull = request_text("POST", "/v1/models/pull", R"({"model": "sd15"})");
  EXPECT_EQ(none.ask(pull).json()["error"]["code"], "no_models_folder");
  EXPECT_EQ(none.ask(request_text("DELETE", "/v1/models/tiny")).json()["error"]["code"], "no_models_folder");
  const RunningServer with_key({.api_keys = {"key"}, .model_library = std::make_shared<ScriptedLibrary>()});
  EXPECT_EQ(with_key.ask(pull).status, 401);
  EXPECT_EQ(with_key.ask(request_text("DELETE", "/v1/models/tiny")).status, 401);
  EXPECT_EQ(with_key.ask(request_text("DELETE", "/v1/models/tiny", "", {{"api-key", "key"}})).status, 403);
  EXPECT_EQ(with_key.ask(request_text("POST", "/v1/models/pull", "{}", {{"api-key", "key"}})).status, 403);
}

TEST(ModelRemoval, RemovesWhatEaselPulled) {
  const Library l;
  const auto response = l.remove("org/a%20b");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.json()["id"], "org/a b");
  EXPECT_EQ(response.json()["object"], "model");
  EXPECT_EQ(response.json()["deleted"], true);
  EXPECT_EQ(l.library->calls(), std::vector<std::string>{"remove org/a b"});
  EXPECT_EQ(l.server.engine.controls(), std::vector<std::string>{"remove org/a b"});
  EXPECT_EQ(l.remove("nope").status, 404);
  EXPECT_EQ(l.remove("own").status, 400);
  EXPECT_EQ(l.server.engine.controls().size(), 1u) << "what is kept stays a model";
}

TEST(ModelRemoval, TheModelLeavesTheEngineBeforeItsFilesGo) {
  const Library l;
  std::vector<std::string> before;
  l.library->on_remove = [&] { before = l.server.engine.controls(); };
  EXPECT_EQ(l.remove("tiny").status, 200);
  EXPECT_EQ(before, std::vector<std::string>{"remove tiny"});
}

TEST(ModelRemoval, FilesThatCannotBeRemovedAreReported) {
  const Library l;
  l.library->on_remove = [] {
    throw Error(ErrorCode::kUnavailable, "cannot remove models/tiny: Device or resource busy");
  };
  const auto response = l.remove("tiny");
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.json()["error"]["message"], "cannot remove models/tiny: Device or resource busy");
}

TEST(ModelRemoval, RequestThatWaitsForTheModelToBeLoadedEndsAsIfItWereUnknown) {
  std::promise<void> loading, files_are_gone;
  testing::FakeOptions options{.description = testing::fake_description("other")};
  options.on_call = [&](const testing::FakeCall& call) {
    if (call.kind != testing::FakeCallKind::kLoad) return;
    loading.set_value();
    files_are_gone.get_future().wait();
    throw Error(ErrorCode::kNotFound, "models/other has no weights");
  };
  const auto library = std::make_shared<ScriptedLibrary>();
  library->on_remove = [&] { files_are_gone.set_value(); };
  const auto engine = make_engine({testing::served_fake(), testing::served_fake(options)}, {});
  const auto server = make_http_server(*engine, {.port = 0, .local_operator = true, .model_library = library});
  const int port = server->bind();
  std::thread thread([&] { server->run(); });
  RawClient waiting(port);
  waiting.send(test::image_request(R"({"prompt": "a cat", "model": "other"})"));
  loading.get_future().wait();
  EXPECT_EQ(RawClient(port).exchange(request_text("DELETE", "/v1/models/other")).status, 200);
  const auto response = waiting.read();
  EXPECT_EQ(response.status, 404) << response.body;
  EXPECT_EQ(response.json()["error"]["code"], "model_not_found");
  server->stop();
  thread.join();
}

TEST(ModelRemoval, TheOnlyModelIsKept) {
  const auto library = std::make_shared<ScriptedLibrary>();
  const RunningServer server({.local_operator = true, .model_library = library});
  const auto response = server.ask(request_text("DELETE", "/v1/models/tiny"));
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.json()["error"]["message"].get<std::string>(), HasSubstr("only model"));
  EXPECT_TRUE(library->calls().empty());
}

}  // namespace
}  // namespace easel::http
