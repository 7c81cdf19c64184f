// Names of weight files.
#pragma once

#include <string>

namespace easel {

/// The name without the folders before it: "c.d" for "a/b/c.d".
std::string last_part(const std::string& path);

/// The extension of a file's name in lower case, with its dot: ".safetensors" for "a/B.SafeTensors".
std::string lower_extension(const std::string& path);

/// Whether the name is that of a safetensors file: .safetensors or .sft, in upper or lower case.
bool is_safetensors_name(const std::string& path);

/// Whether the name is that of a GGUF file: .gguf, in upper or lower case.
bool is_gguf_name(const std::string& path);

/// Whether the name is one that torch.save's files have: .ckpt, .pt, .pth or .bin, in upper or lower case.
bool is_pickle_name(const std::string& path);

}  // namespace easel
