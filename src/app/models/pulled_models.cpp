#include "app/models/pulled_models.h"

#include <filesystem>

#include "app/models/hub_options.h"
#include "app/models/model_list.h"
#include "core/log.h"
#include "core/text.h"
#include "easel/model.h"
#include "hub/pull.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

class PulledModels : public ModelLibrary {
 public:
  PulledModels(const Options& options, const std::string& folder)
      : options_(make_pull_options(options, folder)), folder_(folder) {}

  Pulled pull(const std::string& name, const Progress& on_progress, const std::function<bool()>& stop) override {
    auto options = options_;
    options.policy.stop = stop;
    options.on_progress = [&](const hub::PullProgress& now) { on_progress(now.done, now.total); };
    const auto model = hub::pull(name, options);
    log::info(concat("downloaded ", name, " to ", model.path),
              {{"licence", model.licence.empty() ? "not stated" : model.licence}});
    return {.model = checkpoint_name(model.path),
            .licence = model.licence,
            .bytes = model.bytes,
            .was_there = model.was_there,
            .has_pickles = model.has_pickles};
  }

  void check_removable(const ModelDescription& model) override { hub::check_removable(folder_, name_of(model)); }

  void remove(const ModelDescription& model) override {
    hub::remove_pulled(folder_, name_of(model));
    log::info(concat("removed the files of model ", model.id));
  }

 private:
  /// The path of the model in the models folder.
  std::string name_of(const ModelDescription& model) const {
    return fs::path(model.folder).lexically_normal().lexically_relative(fs::path(folder_).lexically_normal()).string();
  }

  hub::PullOptions options_;
  std::string folder_;
};

}  // namespace

std::shared_ptr<ModelLibrary> make_model_library(const Options& options) {
  const auto folder = searched_folder(options.model);
  return folder.empty() ? nullptr : std::make_shared<PulledModels>(options, folder);
}

}  // namespace easel
