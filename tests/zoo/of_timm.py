"""Networks of timm: one or a few of each of its families, the smallest that show its kind."""

from collections.abc import Iterator

from tests.zoo.networks import Network, image_batches
from tests.zoo.torchvision_shim import import_torchvision

_CHOSEN = (
    *("beit_base_patch16_224", "halonet_h1", "lambda_resnet26t", "mobileone_s1", "gernet_s"),
    *("cait_xxs24_224", "coat_tiny", "convit_tiny", "convmixer_768_32", "convnext_atto"),
    *("convnextv2_atto", "cpubone_nano", "crossvit_tiny_240", "csatv2", "cs3darknet_s"),
    *("cspresnet50", "cspnext_tiny", "davit_tiny", "deepseek_vit_412m", "deit_tiny_patch16_224"),
    *("deit3_small_patch16_224", "densenet121", "dla46x_c", "dla34", "dpn48b", "dpn68"),
    *("edgenext_xx_small", "efficientformer_l1", "efficientformerv2_s0", "efficientnet_b0"),
    *("efficientvim_m1", "efficientvit_b0", "efficientvit_m0", "eva02_tiny_patch14_224"),
    *("fasternet_t0", "fastvit_t8", "focalnet_tiny_srf", "gcvit_xxtiny", "gemma4_vit_167m"),
    *("ghostnet_050", "hardcorenas_a", "hgnetv2_b0", "hiera_tiny_224", "hieradet_small"),
    *("hrnet_w18_small", "iformer_t", "inception_next_atto", "inception_resnet_v2"),
    *("inception_v3", "inception_v4", "lcnetv2_small", "levit_128s", "lowformer_b0"),
    *("mambaout_femto", "coatnet_pico_rw_224", "maxvit_tiny_tf_224", "poolformer_s12"),
    *("caformer_s18", "mixer_s16_224", "resmlp_12_224", "gmlp_ti16_224", "mobilenetv3_small_050"),
    *("mobilenetv4_conv_small_035", "mobilenetv5_base", "mobilevit_xxs", "mobilevitv2_050"),
    *("mvitv2_tiny", "naflexvit_base_patch16_gap", "nasnetalarge", "nest_tiny", "nextvit_small"),
    *("nf_regnet_b0", "nf_resnet50", "dm_nfnet_f0", "nfnet_l0", "pit_ti_224", "pnasnet5large"),
    *("pvt_v2_b0", "qwen3_vit_88m", "rdnet_tiny", "regnetx_002", "regnety_002"),
    *("repghostnet_050", "repvit_m0_9", "res2net50_26w_4s", "resnest14d", "resnet10t"),
    *("resnet50", "resnet50_gn", "seresnet50", "resnetv2_18", "resnetv2_50", "rexnet_100"),
    *("selecsls42", "legacy_seresnet18", "sequencer2d_s", "shvit_s1", "skresnet18"),
    *("starnet_s050", "swiftformer_xs", "swin_tiny_patch4_window7_224"),
    *("swinv2_tiny_window8_256", "swinv2_cr_tiny_224", "tiny_vit_5m_224", "tnt_s_patch16_224"),
    *("tresnet_m", "twins_svt_small", "vgg11", "visformer_tiny", "vit_tiny_patch16_224"),
    *("vit_tiny_r_s16_p8_224", "vit_relpos_small_patch16_224", "samvit_base_patch16_224"),
    *("vitamin_small_224", "volo_d1_224", "ese_vovnet19b_slim_dw", "legacy_xception"),
    *("xception41", "xception41p", "xcit_nano_12_p16_224"),
)
_SIDES = (64, 96, 128, 192, 224, 256)


def chosen() -> Iterator[str]:
    """Name the chosen networks."""
    yield from _CHOSEN


def every_name() -> list[str]:
    """Name all networks."""
    import_torchvision()
    import timm

    return list(timm.list_models())


def find(name: str) -> Network:
    """Find a network by name; the sizes it may take are small, unless it states a fixed one."""
    import_torchvision()
    import timm

    configuration = timm.get_pretrained_cfg(name)
    channels, *_, stated = configuration.input_size if configuration else (3, 224, 224)
    fixed = configuration is not None and configuration.fixed_input_size
    sides = (stated,) if fixed else (*_SIDES, stated)
    return Network(
        "timm",
        name,
        lambda: timm.create_model(name, pretrained=False),
        image_batches(channels, sides),
    )
