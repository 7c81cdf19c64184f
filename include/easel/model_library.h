// The models folder of a server, to which operators bring models and from which they remove them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "easel/generation.h"

namespace easel {

/// Thread-safe. What it brings is served when the server has noticed it, a few seconds later.
class ModelLibrary {
 public:
  struct Pulled {
    std::string model;         ///< the id under which it is served
    std::string licence;       ///< as the hub names it; empty where it does not
    std::uint64_t bytes = 0;   ///< of all its files
    bool was_there = false;    ///< it was complete before
    bool has_pickles = false;  ///< `easel convert` is needed before it can be served
  };
  /// Receives the bytes that are there, and those of the whole model; on the thread of the call of pull().
  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

  virtual ~ModelLibrary() = default;

  /// Fetches a model. A pull that was stopped is continued by the next one of the same model.
  /// @param name  of a recipe, or a reference to a repository as `easel pull` takes it
  /// @param stop  asked several times per second; true ends the call with Error(kCancelled)
  /// @throws Error  the name is not known, or the model cannot be fetched; says why
  virtual Pulled pull(const std::string& name, const Progress& on_progress, const std::function<bool()>& stop) = 0;

  /// Returns where remove() may be called. To be asked before the model is taken from clients.
  /// @throws Error(kInvalidArgument)  easel did not pull it
  /// @throws Error(kNotFound)         it is not in the models folder
  /// @throws Error(kUnavailable)      the folder is read-only
  virtual void check_removable(const ModelDescription& model) = 0;

  /// Removes the files of a model, which should not be served any more: a load of it would fail. Where this fails and
  /// the files are still whole, the model is served again when the server has noticed it.
  /// @throws Error(kUnavailable)  they cannot be removed
  /// @throws Error                as check_removable()
  virtual void remove(const ModelDescription& model) = 0;
};

}  // namespace easel
