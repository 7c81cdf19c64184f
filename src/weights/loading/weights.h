// Strict loading of a component's tensors by their checkpoint names.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>

#include "tensor/pinned_arena.h"
#include "tensor/placement.h"
#include "weights/loading/load_context.h"
#include "weights/loading/tensor_store.h"
#include "weights/loading/weight_scope.h"

namespace easel {

/// The loading of one component: every tensor is taken once, and none may be left over.
///
/// Use: a model takes its tensors from root(), then finish(), then prepare() unless the model may never be called. Not
/// thread-safe.
class Weights {
 public:
  /// @param context  who follows the loading
  Weights(std::shared_ptr<const TensorStore> store, const Placement& placement, LoadContext context = {});
  ~Weights();

  WeightScope root() { return {*this, ""}; }
  const Placement& placement() const { return placement_; }

  /// @throws Error(kCorruptData)  lists the missing, wrongly shaped and unexpected tensors with their files: the first
  ///                              twenty, and how many more there are. Names --ignore-tensors if all are unexpected
  void finish();

  /// Prepares the weights that were taken for their first use, on all threads that libtorch computes with, so that the
  /// first request does not wait for it. Their progress counts only now.
  /// @throws Error(kCorruptData)  a file has changed since it was opened
  void prepare();

 private:
  friend class WeightScope;
  struct State;
  at::Tensor take(const std::string& name, at::IntArrayRef shape);
  DeferredWeight take_deferred(const std::string& name, at::IntArrayRef shape, std::optional<at::MemoryFormat> format,
                               WeightConversion convert);
  LayerWeight take_layer(const std::string& name, at::IntArrayRef shape, WeightConversion convert);
  at::Tensor load_now(const std::string& name, const Placement& where, std::optional<at::MemoryFormat> format);
  /// What becomes of every tensor that was placed: its memory, its files, and its turn on the device.
  at::Tensor keep(const std::string& name, at::Tensor tensor, bool is_view);
  bool check(const std::string& name, at::IntArrayRef shape);
  bool left_to_first_use(const std::string& name) const;
  void count(const std::string& name);
  void note_files();

  std::shared_ptr<const TensorStore> store_;
  Placement placement_;
  Placement load_placement_;  // where tensors are when they are taken: in host memory while models take turns
  LoadContext context_;
  std::shared_ptr<ComponentOffloader::Component> component_;  // null unless models take turns
  std::unique_ptr<PinnedArena> pinned_;  // of their weights; null where the host has too little memory for that
  std::unique_ptr<State> state_;
};

}  // namespace easel
