"""Small UNets that between them say everything a UNet's config can say."""

FOUR_LEVELS = dict(
    block_out_channels=[8, 16, 16, 24], norm_num_groups=4, attention_head_dim=2, cross_attention_dim=12,
    layers_per_block=2,
)
TWO_LEVELS = dict(
    block_out_channels=[16, 24], norm_num_groups=4, attention_head_dim=2, cross_attention_dim=12, layers_per_block=1,
    down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
)
TIMES = [981.0, 333.25, 0.5]
SQUARE = dict(height=8, width=8, timesteps=TIMES[:2])
ODD = dict(height=7, width=5, timesteps=TIMES)

# name: config, runs, and overrides of the config that need no other weights
CASES = {
    "sd15": dict(
        config=dict(FOUR_LEVELS, sample_size=64, center_input_sample=False, downsample_padding=1, flip_sin_to_cos=True,
                    freq_shift=0, mid_block_scale_factor=1, norm_eps=1e-5, act_fn="silu"),
        runs=[dict(height=16, width=24, timesteps=TIMES[:1]), ODD, dict(height=65, width=37, timesteps=TIMES[:1])],
        overrides={
            "center_input_sample": True, "flip_sin_to_cos": False, "freq_shift": 1, "act_fn": "gelu",
            "mid_block_scale_factor": 1.7, "norm_eps": 0.3, "norm_num_groups": 2, "attention_head_dim": 4,
            "downsample_padding": 0, "time_embedding_act_fn": "mish", "timestep_post_act": "relu",
        },
    ),
    "sd15_inpainting": dict(config=dict(FOUR_LEVELS, in_channels=9), runs=[dict(SQUARE, mask=True)], overrides={}),
    "sd21": dict(
        config=dict(FOUR_LEVELS, attention_head_dim=[1, 2, 4, 3], use_linear_projection=True, upcast_attention=True),
        runs=[SQUARE, ODD],
        overrides={"attention_head_dim": [2, 4, 2, 6], "act_fn": "mish"},
    ),
    "sdxl": dict(
        config=dict(
            block_out_channels=[8, 16, 24], norm_num_groups=4, attention_head_dim=[1, 2, 3], cross_attention_dim=12,
            layers_per_block=2, transformer_layers_per_block=[1, 2, 3], use_linear_projection=True,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            addition_embed_type="text_time", addition_time_embed_dim=6, projection_class_embeddings_input_dim=10 + 36,
        ),
        runs=[SQUARE, ODD, dict(SQUARE, residuals=True)],
        overrides={"flip_sin_to_cos": False},
    ),
    "sdxl_refiner": dict(
        config=dict(
            FOUR_LEVELS, attention_head_dim=[2, 4, 4, 6], transformer_layers_per_block=2, use_linear_projection=True,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
            up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=10 + 24,
        ),
        runs=[ODD],
        overrides={},
    ),
    "x4_upscaler": dict(
        config=dict(
            FOUR_LEVELS, in_channels=7, num_class_embeds=20, only_cross_attention=[True, True, True, False],
            use_linear_projection=True,
            down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        ),
        runs=[SQUARE, dict(ODD, mask=True)],
        overrides={},
    ),
    "only_cross_attention": dict(config=dict(TWO_LEVELS, only_cross_attention=True), runs=[dict(ODD, mask=True)], overrides={}),
    "lcm": dict(config=dict(TWO_LEVELS, time_cond_proj_dim=10), runs=[SQUARE, dict(ODD, no_cond=True)], overrides={}),
    "scale_shift": dict(
        config=dict(TWO_LEVELS, resnet_time_scale_shift="scale_shift", act_fn="relu", time_embedding_dim=20),
        runs=[ODD], overrides={"act_fn": "Swish"},
    ),
    "no_mid": dict(
        config=dict(TWO_LEVELS, mid_block_type=None, conv_in_kernel=5, conv_out_kernel=1), runs=[SQUARE, ODD], overrides={},
    ),
    "plain_mid": dict(
        config=dict(
            block_out_channels=[16, 24], norm_num_groups=4, layers_per_block=1, mid_block_type="UNetMidBlock2D",
            down_block_types=["DownBlock2D", "UNetResDownBlock2D"], up_block_types=["UpBlock2D", "UpBlock2D"],
            mid_block_scale_factor=2.0, cross_attention_dim=12, num_class_embeds=None,
        ),
        runs=[ODD], overrides={"mid_block_scale_factor": 1.0},
    ),
    "asymmetric": dict(
        config=dict(
            block_out_channels=[16, 24], norm_num_groups=4, layers_per_block=[1, 2], attention_head_dim=[4, 5],
            cross_attention_dim=[12, 12], use_linear_projection=True,
            transformer_layers_per_block=[[1], [2, 0]], reverse_transformer_layers_per_block=[[1, 0, 3], [2, 1]],
            down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        ),
        runs=[ODD], overrides={},
    ),
    "uneven_heads": dict(config=dict(TWO_LEVELS, attention_head_dim=5), runs=[ODD], overrides={}),
    "fourier": dict(
        config=dict(TWO_LEVELS, time_embedding_type="fourier", timestep_post_act="gelu", flip_sin_to_cos=False,
                    class_embed_type="timestep"),
        runs=[dict(ODD, timesteps=[0.3, -1.2, 0.05])], overrides={"flip_sin_to_cos": True},
    ),
    # As the latent upscaler has them: every kind of K-block, and all that goes with them.
    "k_blocks": dict(
        config=dict(
            block_out_channels=[32, 32, 64, 64], layers_per_block=2, attention_head_dim=16, cross_attention_dim=12, norm_num_groups=None,
            in_channels=8, out_channels=5, conv_in_kernel=1, conv_out_kernel=1, act_fn="gelu", timestep_post_act="gelu",
            mid_block_type=None, time_embedding_type="fourier", time_cond_proj_dim=10, resnet_time_scale_shift="scale_shift",
            down_block_types=["KDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D", "KCrossAttnDownBlock2D"],
            up_block_types=["KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KCrossAttnUpBlock2D", "KUpBlock2D"],
        ),
        runs=[dict(height=16, width=24, timesteps=[0.3, -1.2, 0.05]), dict(height=24, width=16, timesteps=[0.7], mask=True)],
        overrides={"norm_eps": 0.3, "act_fn": "silu", "attention_head_dim": 8},
    ),
    "k_blocks_plain": dict(
        config=dict(
            block_out_channels=[32, 48], layers_per_block=1, attention_head_dim=8, cross_attention_dim=12, norm_num_groups=8,
            mid_block_type=None, down_block_types=["KCrossAttnDownBlock2D", "KDownBlock2D"],
            up_block_types=["KUpBlock2D", "KCrossAttnUpBlock2D"],
        ),
        runs=[dict(height=6, width=4, timesteps=TIMES)], overrides={},
    ),
    "class_timestep": dict(config=dict(TWO_LEVELS, class_embed_type="timestep", act_fn="mish"), runs=[ODD], overrides={}),
    "class_identity": dict(config=dict(TWO_LEVELS, class_embed_type="identity"), runs=[ODD], overrides={}),
    "class_projection": dict(
        config=dict(TWO_LEVELS, class_embed_type="projection", projection_class_embeddings_input_dim=9, act_fn="gelu"),
        runs=[ODD], overrides={},
    ),
    "class_concat": dict(
        config=dict(TWO_LEVELS, class_embed_type="simple_projection", projection_class_embeddings_input_dim=9,
                    class_embeddings_concat=True),
        runs=[ODD], overrides={},
    ),
    "added_text": dict(
        config=dict(TWO_LEVELS, addition_embed_type="text", addition_embed_type_num_heads=3), runs=[ODD],
        overrides={"addition_embed_type_num_heads": 6},
    ),
    "odd_width": dict(config=dict(TWO_LEVELS, block_out_channels=[15, 24], norm_num_groups=3, attention_head_dim=3), runs=[ODD],
                      overrides={}),
}
