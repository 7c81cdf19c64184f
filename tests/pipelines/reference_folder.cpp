// Compiled into every test program that uses pipeline_cases.h, since each has a reference script of its own.
#include "pipelines/pipeline_cases.h"

namespace easel::testing {

const char* const kReferenceFolder = EASEL_REFERENCE_DIR;

}  // namespace easel::testing
