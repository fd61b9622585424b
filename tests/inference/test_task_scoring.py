"""From what networks give to what canvases take, by task."""

import dataclasses

import numpy as np
import pytest

from tests.heatmaps.parts import dense_card, detecting_card
from wsi_ai.core.cards import Activation, Form, ModelCard, Scored
from wsi_ai.errors import ModelError
from wsi_ai.inference.scoring import batch_for, output_shape, scores_of, tile_scores
from wsi_ai.testing import MEAN_CARD


def two_classes(card: ModelCard, activation: Activation = Activation.NONE) -> ModelCard:
    return dataclasses.replace(card, classes=("red", "blue"), activation=activation)


def test_a_segmentation_is_scored_pixel_by_pixel() -> None:
    card = two_classes(dense_card(8, 8), Activation.SOFTMAX)
    raw = np.random.default_rng(1).normal(size=(3, 2, 8, 8)).astype(np.float32)
    found = scores_of(raw, 2, card)
    assert found.shape == (2, 2, 8, 8)
    np.testing.assert_allclose(found[:, 0], 1 / (1 + np.exp(raw[:2, 1] - raw[:2, 0])), atol=1e-6)


def test_the_output_of_a_segmentation_may_be_smaller_than_its_tile() -> None:
    card = dense_card(64, 48)
    card = dataclasses.replace(card, output=dataclasses.replace(card.output, scale=0.25))
    assert output_shape(card) == (1, 16, 16)
    with pytest.raises(ModelError, match=r"gives \(1, 1, 64, 64\) .* asks for \(1, 1, 16, 16\)"):
        scores_of(np.zeros((1, 1, 64, 64), np.float32), 1, card)


def test_a_tile_with_a_number_that_is_none_is_lost_as_a_whole() -> None:
    raw = np.full((2, 1, 8, 8), 0.5, np.float32)
    raw[1, 0, 3, 3] = np.inf
    found = scores_of(raw, 2, dense_card(8, 8))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    rows = np.zeros((2, 64, 6), np.float32)
    rows[1, 5, 0] = np.nan
    found = scores_of(rows, 2, detecting_card(64, 48))
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


CLASS_SCORES = np.array([[[20, 30, 8, 4, 0.2, 0.7], [9, 9, 2, 2, 0.01, 0.02]]], np.float32)


def detector(form: Form, scored: Scored, rows: int) -> ModelCard:
    return two_classes(detecting_card(64, 48, form=form, scored=scored, objects=rows))


def test_boxes_by_middle_and_a_score_for_each_class() -> None:
    card = detector(Form.BOXES_CXCYWH, Scored.CLASS_SCORES, 2)
    found = scores_of(CLASS_SCORES, 1, card)
    np.testing.assert_allclose(found, [[[16, 28, 24, 32, 0.7, 1]]])


def test_points_with_a_score_and_a_class_the_surest_first() -> None:
    card = detector(Form.POINTS_XY, Scored.SCORE_CLASS, 3)
    raw = np.array([[[1, 2, 0.3, 1], [5, 6, 0.9, 0], [7, 8, 0, 0]]], np.float32)
    found = scores_of(raw, 1, card)
    np.testing.assert_allclose(found, [[[5, 6, 5, 6, 0.9, 0], [1, 2, 1, 2, 0.3, 1]]])


def test_objectness_multiplies_what_the_activation_made_of_the_scores() -> None:
    card = detector(Form.BOXES_XYXY, Scored.OBJECTNESS_CLASS_SCORES, 1)
    card = dataclasses.replace(card, activation=Activation.SIGMOID)
    raw = np.array([[[1, 2, 3, 4, 0.0, 2.0, -2.0]]], np.float32)
    found = scores_of(raw, 1, card)
    np.testing.assert_allclose(found, [[[1, 2, 3, 4, 0.5 / (1 + np.exp(-2)), 0]]], rtol=1e-6)


def test_tiles_without_objects_and_tiles_with_fill_up_to_the_fullest() -> None:
    card = detector(Form.POINTS_XY, Scored.SCORE_CLASS, 3)
    raw = np.zeros((2, 3, 4), np.float32)
    raw[1, :2, 2] = 0.8, 0.9
    found = scores_of(raw, 2, card)
    assert found.shape == (2, 2, 6)
    assert (found[0] == 0).all()
    assert scores_of(raw[:1], 1, card).shape == (1, 1, 6)


def test_a_class_that_the_card_does_not_know_is_refused() -> None:
    card = detector(Form.POINTS_XY, Scored.SCORE_CLASS, 1)
    with pytest.raises(ModelError, match=r"none of output\.classes; is output\.scored right\?"):
        scores_of(np.array([[[1, 2, 0.9, 2]]], np.float32), 1, card)
    with pytest.raises(ModelError, match=r"scores outside 0\.\.1"):
        scores_of(np.array([[[1, 2, 7.0, 1]]], np.float32), 1, card)


def test_runtimes_are_held_to_one_score_a_class_whatever_the_task() -> None:
    dense = np.random.default_rng(1).random((3, 1, 8, 8), np.float32)
    np.testing.assert_allclose(
        tile_scores(dense, dense_card(8, 8))[:, 0], dense.mean(axis=(1, 2, 3)), rtol=1e-6
    )
    card = detector(Form.POINTS_XY, Scored.SCORE_CLASS, 3)
    objects = np.zeros((3, 2, 6), np.float32)
    objects[0, :, 4], objects[0, 1, 5] = (0.9, 0.4), 1
    objects[2] = np.nan
    np.testing.assert_array_equal(
        tile_scores(objects, card), np.array([[0.9, 0.4], [0, 0], [np.nan] * 2], np.float32)
    )


def test_large_windows_go_few_at_a_time_and_classified_tiles_as_before() -> None:
    assert batch_for(MEAN_CARD, 32, 1 << 20) == 32
    assert batch_for(dense_card(1024, 960), 32, 1 << 20) == 1
    assert batch_for(dense_card(256, 192), 32, 1 << 20) == 16
    assert batch_for(dense_card(2048, 1920), 32, 1 << 20) == 1
