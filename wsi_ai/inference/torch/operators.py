"""Operators of PyTorch that compute and do nothing else: no file, no process, no library, no print.

A program of ``torch.export`` or TorchScript names its operators.  What is not on this list needs
somebody's word that its author is trusted.
"""

_TENSORS = """
    _adaptive_avg_pool2d _assert_async _assert_tensor_metadata _cast_Float _convolution
    _fused_moving_avg_obs_fq_helper _log_softmax _native_batch_norm_legit
    _native_batch_norm_legit_no_training _pad_circular _prelu_kernel _safe_softmax
    _scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention
    _scaled_dot_product_flash_attention_for_cpu _shape_as_tensor _softmax _to_copy _unsafe_index
    _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact2d
    _weight_norm abs acos adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    adaptive_max_pool1d adaptive_max_pool2d add addbmm addcdiv addcmul addmm addmv
    affine_grid_generator alias all alpha_dropout amax amin aminmax any arange argmax argmin
    argsort as_strided asin atan atan2 avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm
    bernoulli bilinear bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_tensors
    broadcast_to bucketize cat cdist ceil celu channel_shuffle chunk clamp clamp_max clamp_min
    clip clone col2im concat concatenate constant_pad_nd contiguous conv1d conv2d conv3d
    conv_transpose1d conv_transpose2d conv_transpose3d convolution copy copysign cos cosh
    cosine_similarity count_nonzero cross cummax cummin cumprod cumsum deg2rad dequantize detach
    diag diag_embed diagonal diff dist div divide dot dropout dropout2d dropout3d einsum elu
    embedding empty empty_like empty_permuted empty_strided eq erf erfc erfinv exp exp2 expand
    expand_as expm1 eye fake_quantize_per_channel_affine fake_quantize_per_tensor_affine
    feature_alpha_dropout feature_dropout fft_fft fft_fft2 fft_ifft fft_ifft2 fft_irfft
    fft_irfft2 fft_rfft fft_rfft2 fill flatten flip fliplr flipud float_power floor floor_divide
    fmax fmin fmod frac frobenius_norm full full_like gather ge gelu getitem glu grid_sampler
    grid_sampler_2d grid_sampler_3d group_norm gru gt hann_window hardshrink hardsigmoid
    hardswish hardtanh histc hstack hypot im2col imag index index_add index_copy index_fill
    index_put index_select instance_norm int_repr interpolate inverse is_complex
    is_floating_point is_nonzero is_same_size isclose isfinite isinf isnan item kthvalue
    layer_norm le leaky_relu lerp lift_fresh lift_fresh_copy linalg_norm linalg_vector_norm
    linear linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp logical_and
    logical_not logical_or logical_xor logit logsumexp lstm lt masked_fill masked_scatter
    masked_select matmul max max_pool1d max_pool1d_with_indices max_pool2d
    max_pool2d_with_indices max_pool3d max_pool3d_with_indices maximum mean median meshgrid min
    minimum mish mm mode moveaxis movedim mul multi_head_attention_forward multinomial multiply
    mv nan_to_num nanmean nansum narrow native_batch_norm native_dropout native_group_norm
    native_layer_norm ne neg negative new_empty new_full new_ones new_tensor new_zeros nonzero
    nonzero_numpy nonzero_static norm normal normalize nuclear_norm one_hot ones ones_like pad
    pairwise_distance permute pixel_shuffle pixel_unshuffle polar pow prelu prod quantile
    quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic rad2deg rand rand_like
    randint randn randn_like randperm range ravel real reciprocal reflection_pad1d
    reflection_pad2d reflection_pad3d relu relu6 remainder renorm repeat repeat_interleave
    replication_pad1d replication_pad2d replication_pad3d reshape reshape_as resolve_conj
    resolve_neg rms_norm roll rot90 round rrelu rsqrt rsub scalar_tensor
    scaled_dot_product_attention scatter scatter_add scatter_reduce searchsorted select
    select_scatter selu sgn sigmoid sign signbit silu sin sinc sinh size slice slice_scatter
    softmax softmin softplus softshrink softsign sort split split_with_sizes sqrt square squeeze
    stack std std_mean stride sub subtract sum swapaxes swapdims sym_constrain_range_for_size
    sym_numel sym_size sym_storage_offset sym_stride t take take_along_dim tan tanh tensor_split
    tensordot threshold tile to topk trace transpose tril triu true_divide trunc type_as unbind
    unflatten unfold uniform unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze
    upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean vdot view view_as
    view_as_complex view_as_real view_copy vstack where xlogy zero zeros zeros_like
"""
_SCRIPT = """
    BFloat16 Bool Char Delete Double Float FloatImplicit Half Int IntImplicit Long NumToTensor
    RaiseException ScalarImplicit T __and__ __contains__ __derive_index __getitem__ __is__
    __isnot__ __not__ __or__ __range_length __xor__ _set_item append as_tensor bool ceil clear
    complex copy count cpu data degrees device dict dim double dtype element_size endswith
    extend fabs fill_diagonal find float floor floordiv format get get_device grad half hash
    index insert int is_autocast_enabled is_contiguous is_cpu is_cuda is_grad_enabled is_leaf
    is_mkldnn is_quantized is_scripting is_sparse isdigit items join keys layout len list lower
    mT max min min_int nbytes ndim numel numpy_T ord percentFormat pop pow qscheme radians
    replace requires_grad requires_grad_ reverse rstrip set_grad_enabled shape sizes slice
    sorted split sqrt startswith storage_offset str strip tensor to tolist type unchecked_cast
    unchecked_unwrap_optional uninitialized unpack update upper values warn
"""
_CLASSES = ("Conv2dPackedParamsBase", "LinearPackedParamsBase")
_QUANTIZED = """
    add add_relu batch_norm2d batch_norm2d_relu cat cat_relu conv1d conv1d_relu conv2d conv2d_relu
    conv2d_dynamic conv2d_prepack conv2d_unpack conv3d elu hardswish instance_norm layer_norm
    leaky_relu linear linear_relu linear_dynamic linear_prepack linear_unpack max_pool2d mul
    mul_relu mul_scalar relu6 sigmoid softmax
"""
_NAMESPACES = {
    "prims": frozenset({"convert_element_type", "view_of", "iota"}),
    "torchvision": frozenset({"nms", "roi_align", "roi_pool", "deform_conv2d", "ps_roi_align"}),
    "quantized": frozenset(_QUANTIZED.split()),
    "quantized_decomposed": frozenset(
        {"quantize_per_tensor", "dequantize_per_tensor", "quantize_per_channel",
         "dequantize_per_channel"}
    ),
    "higher_order": frozenset({"wrap_with_set_grad_enabled", "wrap_with_autocast"}),
}  # fmt: skip
_ATEN = frozenset(_TENSORS.split())
_OF_SCRIPT = frozenset(_SCRIPT.split())
_PYTHON_WORDS = """
    add and_ eq floordiv ge getitem gt le lt mod mul ne neg not_ or_ pow sub truediv
"""
_PYTHON = frozenset(_PYTHON_WORDS.split())
_MATH = frozenset({"ceil", "floor", "pow", "sqrt", "trunc"})


def is_tensor_operator(space: str, name: str) -> bool:
    """Of PyTorch, as ``aten`` and ``conv2d``; the form that writes into its input too."""
    plain = name.removesuffix("_") if not name.endswith("__") else name
    if space == "aten":
        return name in _ATEN or plain in _ATEN
    return plain in _NAMESPACES.get(space, ()) or name in _NAMESPACES.get(space, ())


def is_script_operator(space: str, name: str) -> bool:
    """The same of TorchScript, which has those of Python's numbers, texts and lists beside them."""
    own = space in ("aten", "prim") and name in _OF_SCRIPT
    return own or is_tensor_operator("aten" if space == "prim" else space, name)


def is_program_target(target: str) -> bool:
    """Of a node of ``torch.export``: ``torch.ops.aten.conv2d.default`` and the like."""
    parts = target.split(".")
    if parts[0] in ("_operator", "math"):
        return len(parts) == 2 and parts[1] in (_PYTHON if parts[0] == "_operator" else _MATH)
    if parts[:2] != ["torch", "ops"] or not 4 <= len(parts) <= 5:
        return target in _SYMBOLIC
    return is_tensor_operator(parts[2], parts[3])


_SYMBOLIC = {f"torch.sym_{name}" for name in ("int", "float", "max", "min", "not", "ite", "sum")}


def is_known_class(name: str) -> bool:
    """Of the classes in C++ that a TorchScript file may hold: packed quantised weights."""
    return name in {f"quantized.{kind}" for kind in _CLASSES}
