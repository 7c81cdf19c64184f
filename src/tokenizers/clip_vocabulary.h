// CLIP's own vocabulary, which the program carries: for checkpoints that are one file without a tokenizer.
#pragma once

#include "tokenizers/vocabulary_files.h"

namespace easel {

/// What the vocab.json and merges.txt of Stable Diffusion's checkpoints hold: 49,408 tokens (Radford et al. 2021).
/// Needs no file; its licence is in clip_vocabulary/NOTICE.md.
VocabularyFiles clip_vocabulary();

}  // namespace easel
