// Models that appear, change and go while the server runs, with fake pipelines.
#include "app/models/model_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

#include "support/fake_pipeline.h"
#include "support/temporary_folder.h"

namespace easel {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class ModelWatchTest : public ::testing::Test {
 protected:
  ModelWatchTest() {
    write("first");
    engine_ = make_engine({open({.id = "first", .path = path("first")})}, {});
    opened_.clear();
    watch_ =
        std::make_unique<ModelWatch>(*engine_,
                                     ModelWatch::Actions{.find = [this] { return find(); },
                                                         .open = [this](const auto& model) { return open(model); }},
                                     find());
  }
  std::string path(const std::string& id) const { return folder_.path(id + ".safetensors"); }
  void write(const std::string& id, const std::string& contents = "x") const {
    folder_.write(id + ".safetensors", contents);
  }
  void remove(const std::string& id) const { std::filesystem::remove(path(id)); }

  std::vector<WatchedModel> find() const {
    std::vector<WatchedModel> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      if (entry.path().extension() != ".safetensors") continue;
      found.push_back({.id = entry.path().stem().string(), .path = entry.path().string()});
    }
    return found;
  }
  ServedModel open(const WatchedModel& model) {
    opened_.push_back(model.id);
    if (std::ifstream file(model.path); file.get() == 'b') throw Error(ErrorCode::kCorruptData, "broken");
    return testing::served_fake({.description = testing::fake_description(model.id)}, record_);
  }
  std::vector<std::string> served() const {
    std::vector<std::string> ids;
    for (const auto& model : engine_->models()) ids.push_back(model.id);
    return ids;
  }
  void look_twice() {
    watch_->look();
    watch_->look();
  }

  TemporaryFolder folder_;
  std::shared_ptr<testing::FakeRecord> record_ = std::make_shared<testing::FakeRecord>();
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ModelWatch> watch_;
  std::vector<std::string> opened_;
};

TEST_F(ModelWatchTest, NewFileIsServedOnceItHasSettled) {
  write("second");
  watch_->look();
  EXPECT_THAT(served(), ElementsAre("first")) << "it may still be being written";
  write("second", "xx");
  watch_->look();
  EXPECT_THAT(served(), ElementsAre("first"));
  watch_->look();
  EXPECT_THAT(served(), ElementsAre("first", "second"));
  look_twice();
  EXPECT_THAT(opened_, ElementsAre("second"));
}

TEST_F(ModelWatchTest, ReplacedFileAndChangedNeighboursAreOpenedAnew) {
  write("first", "longer");
  look_twice();
  EXPECT_THAT(opened_, ElementsAre("first"));
  folder_.write("first.easel.json", "{}");
  look_twice();
  folder_.write("first.yaml", "");
  look_twice();
  EXPECT_THAT(opened_, ElementsAre("first", "first", "first"));
  EXPECT_THAT(served(), ElementsAre("first"));
}

TEST_F(ModelWatchTest, RemovedFileIsServedNoMore) {
  write("second");
  look_twice();
  remove("second");
  look_twice();
  EXPECT_THAT(served(), ElementsAre("first"));
  remove("first");
  look_twice();
  EXPECT_THAT(served(), ElementsAre("first")) << "an engine has a model";
  write("first");
  look_twice();
  EXPECT_THAT(opened_, ElementsAre("second", "first"));
}

TEST_F(ModelWatchTest, ModelThatOthersTookOutOfTheEngineIsServedAgainOnlyIfItsFileStays) {
  write("second");
  write("third");
  look_twice();
  engine_->remove("second");
  engine_->remove("third");
  watch_->look();
  EXPECT_THAT(served(), ElementsAre("first")) << "its file may be about to be removed";
  remove("second");
  look_twice();
  EXPECT_THAT(served(), ElementsAre("first", "third"));
  EXPECT_THAT(opened_, UnorderedElementsAre("second", "third", "third"));
}

TEST_F(ModelWatchTest, BrokenFileIsOpenedOnceAndServedWhenItIsMended) {
  write("second", "broken");
  look_twice();
  look_twice();
  EXPECT_THAT(opened_, ElementsAre("second"));
  EXPECT_THAT(served(), ElementsAre("first"));
  write("second", "mended");
  look_twice();
  EXPECT_THAT(served(), UnorderedElementsAre("first", "second"));
  write("second", "broken again");
  look_twice();
  EXPECT_THAT(served(), ElementsAre("first")) << "its old files are not there any more";
}

/// A model whose load fails while its file is away.
ServedModel needing_file(ServedModel model, const std::string& path) {
  model.load = [path, load = model.load](const std::string& device, const LoadProgress& progress) {
    if (!std::filesystem::exists(path)) throw Error(ErrorCode::kNotFound, path + " is missing");
    return load(device, progress);
  };
  return model;
}

TEST_F(ModelWatchTest, FailedModelIsLoadedAgainWhenItsUnchangedFilesHaveReturned) {
  const auto away = folder_.path("away");
  const auto failed_loads = std::make_shared<FailedLoads>();
  const auto first = needing_file(open({.id = "first", .path = path("first")}), path("first"));
  std::filesystem::rename(path("first"), away);
  const auto engine = make_engine({failed_loads->watched(first, path("first"))}, {});
  const auto wait_for = [&](ModelState state) {
    for (int i = 0; i < 1000 && engine->model_state("first") != state; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(engine->model_state("first"), state);
  };
  wait_for(ModelState::kFailed);
  std::filesystem::rename(away, path("first"));
  ModelWatch watch(*engine,
                   {.find = [this] { return find(); }, .open = [this](const auto& model) { return open(model); }},
                   find(), failed_loads);
  opened_.clear();
  watch.look();
  wait_for(ModelState::kReady);
  EXPECT_THAT(opened_, ElementsAre()) << "its files are the ones that it was opened with";
}

TEST_F(ModelWatchTest, FailedModelIsNotLoadedAgainWhileNothingChanges) {
  const auto failed_loads = std::make_shared<FailedLoads>();
  auto loads = std::make_shared<std::atomic<int>>(0);
  auto first = open({.id = "first", .path = path("first")});
  first.load = [loads](const std::string&, const LoadProgress&) -> std::unique_ptr<Pipeline> {
    ++*loads;
    throw Error(ErrorCode::kCorruptData, "broken");
  };
  const auto engine = make_engine({failed_loads->watched(first, path("first"))}, {});
  for (int i = 0; i < 1000 && engine->model_state("first") != ModelState::kFailed; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ModelWatch watch(*engine,
                   {.find = [this] { return find(); }, .open = [this](const auto& model) { return open(model); }},
                   find(), failed_loads);
  watch.look();
  watch.look();
  EXPECT_EQ(engine->model_state("first"), ModelState::kFailed);
  EXPECT_EQ(*loads, 1);
}

TEST_F(ModelWatchTest, FoldersAreWatchedToTheirFiles) {
  const auto at = [this](const std::string& name) { return folder_.path("folder/" + name); };
  folder_.write("folder/unet/weights", "1");
  ModelWatch watch(*engine_,
                   {.find = [&] { return std::vector<WatchedModel>{{.id = "first", .path = at("")}}; },
                    .open = [this](const auto& model) { return open(model); }},
                   {{.id = "first", .path = at("")}});
  watch.look();
  watch.look();
  EXPECT_THAT(opened_, ElementsAre());
  folder_.write("folder/unet/weights", "22");
  watch.look();
  watch.look();
  EXPECT_THAT(opened_, ElementsAre("first"));
}

TEST_F(ModelWatchTest, LookSoonDoesNotWaitForTheNextLook) {
  watch_->start(std::chrono::hours(1));
  write("second");
  watch_->look_soon();
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (served().size() < 2 && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_THAT(served(), ElementsAre("first", "second"));
}

TEST_F(ModelWatchTest, ThreadLooksUntilTheEnd) {
  watch_->start(std::chrono::milliseconds(5));
  write("second");
  for (int i = 0; i < 1000 && served().size() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_THAT(served(), ElementsAre("first", "second"));
  watch_.reset();
}

}  // namespace
}  // namespace easel
