// The rehearsal device's kernels.
#pragma once

namespace easel::testing::rehearsal {

/// Registers them with libtorch. To be called once.
void register_kernels();

}  // namespace easel::testing::rehearsal
