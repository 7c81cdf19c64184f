"""The parts of small random SDXL checkpoints: see checkpoints.py."""
from checkpoints import text_encoder, text_encoder_with_projection, tokenizer, unet, vae

# Widths of the pooled prompt and of each time id.
PROJECTION = 24
TIME_DIM = 8


def sdxl_unet(ids, **config):
    """The states that SDXL takes come before the last norm, and are large here: without this they would drown all else."""
    model = unet(**{**dict(
        block_out_channels=(32, 64, 64), attention_head_dim=(2, 4, 4), transformer_layers_per_block=(1, 2, 1), cross_attention_dim=112,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=TIME_DIM,
        projection_class_embeddings_input_dim=ids * TIME_DIM + PROJECTION), **config})
    for name, p in model.named_parameters():
        if "add_embedding" in name:
            p.mul_(6)
        if "attn2.to_k" in name or "attn2.to_v" in name:
            p.mul_(0.1)
    return model


def sdxl_parts(scheduler, vae_config=None):
    """All that StableDiffusionXLPipeline is made of, random."""
    tok, tok_2 = tokenizer(), tokenizer(pad_token="!")
    encoder_2 = text_encoder_with_projection(tok_2, hidden_size=64, intermediate_size=128, num_hidden_layers=4, hidden_act="gelu",
                                             projection_dim=PROJECTION)
    encoder_2.text_projection.weight.mul_(0.1)  # or the pooled prompt would drown the sizes
    return dict(vae=vae(scaling_factor=0.13025, force_upcast=True, **(vae_config or {})), text_encoder=text_encoder(tok),
                text_encoder_2=encoder_2, tokenizer=tok, tokenizer_2=tok_2, unet=sdxl_unet(6), scheduler=scheduler)
