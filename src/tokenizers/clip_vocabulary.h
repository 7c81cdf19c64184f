// CLIP's own vocabulary, built into the program for single-file checkpoints, which have no tokenizer.
#pragma once

#include "tokenizers/vocabulary_files.h"

namespace easel {

/// The contents of vocab.json and merges.txt of Stable Diffusion's checkpoints: 49,408 tokens (Radford et al. 2021).
/// Reads no file. The licence is in clip_vocabulary/NOTICE.md.
VocabularyFiles clip_vocabulary();

}  // namespace easel
