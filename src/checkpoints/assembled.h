// Checkpoints that are assembled from components in several files and folders.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "weights/stores/original_names.h"

namespace easel {

/// The component that a user means by a role: a component's own name, such as "text_encoder_2" or "vae"; "t5" and
/// "qwen" for the text encoder of that class; "clip_l" and "clip_g" for the first and the second of CLIP's.
/// @param classes  of the checkpoint's components
/// @throws Error(kInvalidArgument)  the checkpoint has no such component; lists the roles that it has
Component component_of_role(const std::string& role, const std::map<Component, std::string>& classes);

/// A checkpoint folder with other files or folders for some of its components.
/// @param checkpoint  the folder as it was opened
/// @param paths       by role
/// @throws Error(kInvalidArgument, kNotFound, kUnsupported)  names the role and the path
void replace_components(Checkpoint& checkpoint, const std::map<std::string, std::string>& paths,
                        const CheckpointOptions& options);

/// Whether a file holds a denoiser of denoiser_files(), by the names of its tensors.
bool is_denoiser_file(const NameSet& names);

/// A checkpoint whose path is the file of a denoiser: in its original layout or in diffusers', as safetensors or GGUF.
/// @param paths  of the other components, by role; "configs" is a folder in diffusers' layout that has the configs,
///               tokenizers and weights which are not given otherwise
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file
/// @throws Error(kInvalidArgument)  a role that the family does not have
Checkpoint open_denoiser_file(const std::string& path, const Manifest& manifest,
                              const std::map<std::string, std::string>& paths, const CheckpointOptions& options);

}  // namespace easel
