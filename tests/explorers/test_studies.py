"""The explorer of studies, and the plots behind it."""

from __future__ import annotations

import pandas as pd
import pytest

from mmrec_lite import plots
from mmrec_lite.experiments import STUDIES, judge, published

explorers = pytest.importorskip("mmrec_lite.explorers")


@pytest.fixture(scope="module")
def rows():
    values = {"w/o specific": 0.1, "w/o common": 0.2, "PAMD": 0.3}
    return pd.DataFrame(
        [
            {"study": "PAMD Table 3", "label": k, "seed": s, "metric": "recall@10", "value": v + 0.01 * s}
            for k, v in values.items()
            for s in (0, 1)
        ]
    ).assign(**{"seconds fit": 2.0})


def test_ours_and_theirs_stand_side_by_side(rows):
    study = STUDIES["PAMD Table 3"]
    printed = published("PAMD", "Table 3", metric="recall@10")
    left, right = plots.study_beside_paper(rows, printed, study.printed).axes
    assert [t.get_text() for t in left.get_yticklabels()] == ["w/o specific", "w/o common", "PAMD"]
    assert left.lines[1].get_xdata()[0] == pytest.approx(0.105)  # the mean over the seeds
    yelp = next(line for line in right.lines if line.get_label() == "Yelp")
    assert list(yelp.get_xdata()) == [0.1789, 0.1827, 0.1895] and list(yelp.get_ydata()) == [0, 1, 2]
    assert len(plots.study_beside_paper(rows).axes) == 1


def test_a_sensitivity_panel_keeps_the_order_of_values(rows):
    figure = plots.sensitivity(rows.assign(study="MICRO Fig. 4 k"), {"MICRO Fig. 4 k": "w/o common"})
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_xticklabels()] == ["w/o specific", "w/o common", "PAMD"]
    assert list(ax.lines[2].get_ydata()) == pytest.approx([0.105, 0.205, 0.305])
    assert list(ax.lines[3].get_xdata()) == [1, 1]


def test_three_sensitivity_panels_stand_in_a_row(rows):
    five = pd.concat([rows.assign(study=f"knob {n}") for n in range(5)])
    figure = plots.sensitivity(five)
    assert [ax.get_visible() for ax in figure.axes] == [True] * 5 + [False]
    assert [bool(ax.get_ylabel()) for ax in figure.axes[:5]] == [True, False, False, True, False]
    other = five.assign(metric=five["metric"].where(five["study"] != "knob 1", "mrr@20"))
    labels = [ax.get_ylabel() for ax in plots.sensitivity(other).axes[:5]]
    assert labels[1] == "mrr@20" and not labels[2] and labels[0] == labels[3]
    assert figure.get_size_inches()[0] <= 9
    named = plots.sensitivity(five, x={"knob 1": "epochs"})
    assert [ax.get_xlabel() for ax in named.axes[:5]] == ["", "epochs", "", "", ""]
    five.loc[five["study"] == "knob 4", "value"] += 1
    for one_scale, scales in ((False, 2), (True, 1)):
        drawn = plots.sensitivity(five, one_scale=one_scale)
        assert len({ax.get_ylim() for ax in drawn.axes[:5]}) == scales


def test_cost_is_on_a_logarithmic_axis(rows):
    (ax,) = plots.cost_and_quality(rows, value="value").axes
    assert ax.get_xscale() == "log" and {t.get_text() for t in ax.texts} == set(rows["label"])
    ax.figure.canvas.draw()
    ticks = [label.get_text() for label in ax.get_xticklabels(which="both") if label.get_text()]
    assert len(ticks) > 1 and all(float(tick) > 0 for tick in ticks)  # 0.5, not 5 times a power of ten


def test_the_explorer_says_what_was_claimed_and_found(rows):
    explorer = explorers.StudiesExplorer(rows)
    assert explorer.controls["study"].options[0][1] == "PAMD Table 3"
    assert "Both together are best" in explorer.status.value and "PAMD over w/o common: agrees" in explorer.status.value
    assert 'alt="The paper: ' in explorer.picture.value
    assert len(explorer.static("PAMD Table 3").axes) == 2
    with pytest.raises(ValueError, match="the rows hold no study"):
        explorers.StudiesExplorer(rows.assign(study="nothing"))
    with pytest.raises(ValueError, match="hold no study 'MICRO Table 4', but PAMD Table 3"):
        explorers.StudiesExplorer(rows, study="MICRO Table 4")
    assert explorers.StudiesExplorer(study="MICRO Table 5").status.value.count("MICRO (NGCF) over CF (NGCF)") == 1


def test_verdicts_stand_where_their_difference_is_a_panel_a_paper(rows):
    claims = pd.concat({"PAMD Table 3": judge(STUDIES["PAMD Table 3"], rows)}).droplevel(1)
    figure = plots.claim_verdicts(pd.concat([claims, claims.rename({"PAMD Table 3": "MICRO Table 5"})]))
    panels = {ax.get_title("left"): ax for ax in figure.axes}
    assert set(panels) == {"PAMD", "MICRO"}
    for ax in panels.values():
        assert [line.get_xdata()[0] for line in ax.lines] == pytest.approx(list(claims["difference"] / claims["noise"]))
        markers = [line.get_marker() for line in ax.lines]
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        keys = dict(zip(names, [h.get_marker() for h in figure.legends[0].legend_handles], strict=True))
        assert markers == [keys[verdict] for verdict in claims["verdict"]]
        assert next(t.get_text() for t in ax.get_yticklabels()).endswith("PAMD > w/o specific")
    claims["noise"] = [0.0, *claims["noise"][1:]]  # seeds that agree to the last digit
    still = claims.assign(difference=[0.0, *claims["difference"][1:]])
    for table, at in ((claims, lambda ax: ax.get_xlim()[1]), (still, lambda ax: 0)):
        (ax,) = plots.claim_verdicts(table).axes
        assert ax.lines[0].get_xdata()[0] == pytest.approx(at(ax))
    once = pd.concat({"PAMD Table 3": judge(STUDIES["PAMD Table 3"], rows[rows["seed"] == 0])}).droplevel(1)
    plots.png(plots.claim_verdicts(once))
