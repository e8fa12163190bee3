"""RoseConfig: a LLaVA configuration and a SAM configuration, joined."""

from __future__ import annotations

from typing import Any

from transformers import LlavaConfig, PreTrainedConfig, SamConfig

REGION_EVIDENCE = ("both", "category", "pooled")


class RoseConfig(PreTrainedConfig):
    """Configuration of ``RoseModel``; ``rose-tiny`` and ``rose-7b`` differ in nothing else.

    vlm_config: a ``LlavaConfig`` (or its dict): vision tower, projector, language model.
    sam_config: a ``SamConfig`` (or its dict): image encoder, prompt encoder, mask decoder.
    super_patch_size: patches per side of a super-patch; must divide the vision tower's grid.
    region_token_id: the token that stands for a region in the naming instruction.
    bidirectional_patches: whether the placeholders see each other (False only for ablation).
    centre_encoding: whether SAM's code of the super-patch centre joins the mask prompt.
    region_evidence: what a region token is made of: "category", "pooled" features, or "both".
    focal: whether masks are corrected and regions named with a closer look at each, in a crop.

    None of these numbers is published for ROSE (arXiv 2412.00153); they are this project's own.
    """

    model_type = "rose"
    sub_configs = {"vlm_config": LlavaConfig, "sam_config": SamConfig}  # noqa: RUF012 - upstream API

    def __init__(
        self,
        vlm_config: LlavaConfig | dict[str, Any] | None = None,
        sam_config: SamConfig | dict[str, Any] | None = None,
        super_patch_size: int = 2,
        region_token_id: int = 32002,
        bidirectional_patches: bool = True,
        centre_encoding: bool = True,
        region_evidence: str = "both",
        focal: bool = False,
        **kwargs: Any,
    ) -> None:
        self.vlm_config = _as(LlavaConfig, vlm_config)
        self.sam_config = _as(SamConfig, sam_config)
        self.super_patch_size = super_patch_size
        self.region_token_id = region_token_id
        self.bidirectional_patches = bidirectional_patches
        self.centre_encoding = centre_encoding
        self.region_evidence = region_evidence
        self.focal = focal
        super().__init__(**kwargs)
        if self.patches_per_side % super_patch_size:
            raise ValueError(
                f"super_patch_size {super_patch_size} does not divide the vision tower's grid of "
                f"{self.patches_per_side} patches a side"
            )
        if region_evidence not in REGION_EVIDENCE:
            raise ValueError(
                f"region_evidence {region_evidence!r} is not one of {', '.join(REGION_EVIDENCE)}"
            )

    @property
    def patches_per_side(self) -> int:
        """Patches along one side of the vision tower's square input."""
        vision = self.vlm_config.vision_config
        return vision.image_size // vision.patch_size

    @property
    def super_patches_per_side(self) -> int:
        """Super-patches along one side: each is an independent candidate."""
        return self.patches_per_side // self.super_patch_size

    @property
    def mask_size(self) -> int:
        """Side of SAM's low-resolution masks: four times its embedding grid."""
        vision = self.sam_config.vision_config
        return 4 * (vision.image_size // vision.patch_size)

    @property
    def decoded_size(self) -> int:
        """Side of the decoded masks: twice as fine as SAM's where they are corrected in crops."""
        return 2 * self.mask_size if self.focal else self.mask_size


def _as(kind: type, config: Any) -> Any:
    if config is None:
        return kind()
    return kind(**config) if isinstance(config, dict) else config


def rose_tiny() -> RoseConfig:
    """Build the configuration of the shipped model: 5.4 million parameters, for CPUs."""
    size, prompt_width = 240, 64
    return RoseConfig(
        vlm_config={
            "vision_config": {
                "model_type": "clip_vision_model",
                "image_size": size,
                "patch_size": 12,
                "hidden_size": 128,
                "intermediate_size": 384,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "projection_dim": 128,
            },
            "text_config": {
                "model_type": "llama",
                "vocab_size": 1024,
                "hidden_size": 192,
                "intermediate_size": 512,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "max_position_embeddings": 1024,
                "pad_token_id": 0,
                "bos_token_id": 1,
                "eos_token_id": 2,
            },
            "image_token_index": 3,
            "image_seq_length": 400,
            "vision_feature_layer": -1,
        },
        sam_config={
            "vision_config": {
                "image_size": size,
                "patch_size": 12,
                "hidden_size": 128,
                "mlp_dim": 384,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "output_channels": prompt_width,
                "num_pos_feats": prompt_width // 2,
                "window_size": 0,
                "global_attn_indexes": [0, 1, 2, 3],
                "use_rel_pos": False,
                # The default of 1e-10 leaves a freshly made encoder dead.
                "initializer_range": 0.02,
            },
            "prompt_encoder_config": {
                "hidden_size": prompt_width,
                "image_size": size,
                "patch_size": 12,
            },
            "mask_decoder_config": {
                "hidden_size": prompt_width,
                "mlp_dim": 128,
                "num_attention_heads": 4,
                "num_multimask_outputs": 1,
                "iou_head_hidden_dim": prompt_width,
            },
        },
        region_token_id=4,
        focal=True,
    )


def rose_7b() -> RoseConfig:
    """Build the configuration that public LLaVA-1.5-7B and SAM ViT-H weights fit.

    LLaVA's vocabulary is padded to 32064 rows of which 32002 are used, so the region token needs
    no new row.
    """
    return RoseConfig(
        vlm_config={
            "text_config": {
                "model_type": "llama",
                "vocab_size": 32064,
                "max_position_embeddings": 4096,
                "rms_norm_eps": 1e-5,
                "pad_token_id": 32001,
            },
        },
        sam_config={
            "vision_config": {
                "hidden_size": 1280,
                "mlp_dim": 5120,
                "num_hidden_layers": 32,
                "num_attention_heads": 16,
                "global_attn_indexes": [7, 15, 23, 31],
            },
        },
        region_token_id=32002,
    )
