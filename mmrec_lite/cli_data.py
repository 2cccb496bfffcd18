"""`mmrec data prepare SOURCE`, `encode`, `download`, `export`: the commands around public sources."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .data import DataError, MultimodalDataset, load
from .data.checks import check_name
from .data.storage import refuse_occupied

Out = Annotated[Path, typer.Option(help="Folder to write.")]
Name = Annotated[str | None, typer.Option(help="Name of the data set.")]
MinUser = Annotated[int, typer.Option(min=0, help="Drop users with fewer interactions, over and over.")]
MinItem = Annotated[int, typer.Option(min=0, help="Drop items with fewer interactions, over and over.")]
MinRating = Annotated[float | None, typer.Option(help="Drop interactions with a lower rating.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the data set in --out.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder or zip archive of pictures called after the item's id: ID.jpg, ID_2.jpg, ID/any.jpg."),
]
NoReviews = Annotated[bool, typer.Option("--no-reviews", help="Leave out what users wrote.")]
Feature = Annotated[list[str] | None, typer.Option(metavar="NAME=FILE", help="Modality and .npy file; repeat it.")]
Missing = Annotated[
    list[str] | None,
    typer.Option(metavar="[NAME=]MARK", help="'zero' or 'nan': such feature rows mean the item lacks it."),
]
TimeUnit = Annotated[str | None, typer.Option(help="order, s, ms, us or ns (by size).")]
Cache = Annotated[Path | None, typer.Option(help="Folder that keeps vectors for the next run.")]

Reviews = Annotated[Path, typer.Option(help="Reviews, one JSON object a line, .gz or not.")]
Meta = Annotated[Path | None, typer.Option(help="Products, one object a line, .gz or not.")]

Show = Callable[[MultimodalDataset, bool], None]


def register(prepare_app: typer.Typer, data_app: typer.Typer, show: Show) -> None:
    """Add the commands; `show` prints a data set."""
    _register_amazon(prepare_app, show)
    _register_logs(prepare_app, show)
    _register_toolkits(prepare_app, show)
    _register_others(data_app, show)


def ready(out: Path, overwrite: bool, name: str | None = None, source: str = "") -> str | None:
    """Refuse at once what saving would refuse after hours of reading: an --out that is taken, a useless --name.

    Return `name`, or one made of what is read from, `source`: "Gift Cards (1)" becomes Gift-Cards-1.
    """
    refuse_occupied(out, overwrite)
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        why = "cannot be written to" if above.is_dir() else "is a file"
        raise DataError(f"--out {out}: {above} {why}; name a folder elsewhere.")
    if name:
        return check_name(name, "--name")
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", source).strip("-_")
    if source and not made:
        raise DataError(f"{source!r} holds nothing to name the data set after; pass --name, as in --name shop.")
    return made or None


def _done(dataset: MultimodalDataset, out: Path, overwrite: bool, show: Show) -> None:
    dataset.save(out, overwrite=overwrite)
    show(dataset, False)
    typer.echo(f"\nWritten to {out}")


def _filters(min_user: int, min_item: int, min_rating: float | None) -> Any:
    from .data.readers import Filters

    return Filters(min_user, min_item, min_rating)


def pair(text: str, option: str, example: str) -> tuple[str, str]:
    """What stands on both sides of an option's "="."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise DataError(f"{option} {text}: expected NAME=VALUE, as in {option} {example}.")
    return name, value


def pairs(texts: list[str] | None, option: str, example: str) -> dict[str, str]:
    """What a repeated option says; a name that is given twice is refused, or the last value would win in silence."""
    found: dict[str, str] = {}
    for name, value in (pair(text, option, example) for text in texts or []):
        if name in found:
            raise DataError(f"{option} {name}={value}: {name!r} is given twice; give each name once.")
        found[name] = value
    return found


def features(texts: list[str] | None) -> dict[str, str]:
    """What --feature says: a file for each modality."""
    return pairs(texts, "--feature", "image=image.npy")


def marks(missing: list[str] | None) -> str | dict[str, str] | None:
    """What --missing says: one mark for all modalities, or NAME=MARK pairs."""
    if missing and len(missing) == 1 and "=" not in missing[0]:
        return missing[0]
    return pairs(missing, "--missing", "image=zero") or None


def _amazon(edition: str, show: Show, options: dict[str, Any]) -> None:
    """Read one edition with a command's options, by their names."""
    from .data import readers

    options = {name: value for name, value in options.items() if name != "show"}
    out, overwrite, no_reviews = (options.pop(name) for name in ("out", "overwrite", "no_reviews"))
    filters = _filters(*(options.pop(name) for name in ("min_user", "min_item", "min_rating")))
    options["name"] = ready(out, overwrite, options["name"], options["reviews"].name.split(".")[0])
    read = getattr(readers, f"read_amazon_{edition}")
    _done(read(filters=filters, with_reviews=not no_reviews, **options), out, overwrite, show)


def _register_amazon(app: typer.Typer, show: Show) -> None:
    @app.command("amazon-2014")
    def amazon_2014(
        reviews: Reviews, out: Out, meta: Meta = None, images: Images = None,
        image_features: Annotated[Path | None, typer.Option(help="image_features_*.b")] = None,
        missing: Missing = None,
        min_user: MinUser = 5, min_item: MinItem = 5, min_rating: MinRating = None, no_reviews: NoReviews = False,
        name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read reviews_*.json.gz, meta_*.json.gz (Python literals) and image_features_*.b."""
        _amazon("2014", show, locals() | {"missing": marks(missing)})

    @app.command("amazon-2018")
    def amazon_2018(
        reviews: Reviews, out: Out, meta: Meta = None, images: Images = None,
        min_user: MinUser = 5, min_item: MinItem = 5, min_rating: MinRating = None, no_reviews: NoReviews = False,
        name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read Category_5.json.gz and meta_Category.json.gz."""
        _amazon("2018", show, locals())

    @app.command("amazon-2023")
    def amazon_2023(
        reviews: Reviews, out: Out, meta: Meta = None, images: Images = None,
        min_user: MinUser = 5, min_item: MinItem = 5, min_rating: MinRating = None, no_reviews: NoReviews = False,
        name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read Category.jsonl.gz and meta_Category.jsonl.gz."""
        _amazon("2023", show, locals())


def _register_logs(app: typer.Typer, show: Show) -> None:
    @app.command()
    def goodreads(
        interactions: Annotated[Path, typer.Option(help="goodreads_interactions_*.json.gz or goodreads_reviews_*.")],
        out: Out,
        books: Annotated[Path | None, typer.Option(help="goodreads_books_*.json.gz")] = None,
        shelved: Annotated[bool, typer.Option("--shelved", help="Keep books not marked as read, too.")] = False,
        min_user: MinUser = 5, min_item: MinItem = 5, min_rating: MinRating = None, no_reviews: NoReviews = False,
        name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read GoodReads' interactions or reviews, and books."""
        from .data.readers import read_goodreads

        name = ready(out, overwrite, name, interactions.name.split(".")[0])
        filters = _filters(min_user, min_item, min_rating)
        data = read_goodreads(
            interactions, books, filters=filters, read_only=not shelved, name=name, with_reviews=not no_reviews
        )
        _done(data, out, overwrite, show)

    @app.command()
    def yelp(
        reviews: Annotated[Path, typer.Option(help="yelp_academic_dataset_review.json")],
        out: Out,
        business: Annotated[Path | None, typer.Option(help="yelp_academic_dataset_business.json")] = None,
        photos: Annotated[Path | None, typer.Option(help="photos.json")] = None,
        images: Annotated[Path | None, typer.Option(help="Folder of photos.")] = None,
        category: Annotated[str | None, typer.Option(help="Keep businesses of this category.")] = None,
        min_user: MinUser = 5, min_item: MinItem = 5, min_rating: MinRating = None, no_reviews: NoReviews = False,
        name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read Yelp's reviews, businesses and photos."""
        from .data.readers import read_yelp

        name = ready(out, overwrite, name)
        filters = _filters(min_user, min_item, min_rating)
        options = {"filters": filters, "category": category, "name": name, "with_reviews": not no_reviews}
        _done(read_yelp(reviews, business, photos, images, **options), out, overwrite, show)

    @app.command()
    def movielens(
        folder: Annotated[Path, typer.Option(help="Folder, or the zip, with ratings.csv and movies.csv (.dat).")],
        out: Out,
        overviews: Annotated[Path | None, typer.Option(help="Table with overview and movieId or tmdbId.")] = None,
        posters: Images = None,
        min_user: MinUser = 5, min_item: MinItem = 5, min_rating: MinRating = None,
        name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read MovieLens, with posters and overviews of your own."""
        from .data.readers import read_movielens

        name = ready(out, overwrite, name, folder.resolve().name.removesuffix(".zip"))
        filters = _filters(min_user, min_item, min_rating)
        _done(read_movielens(folder, overviews, posters, filters=filters, name=name), out, overwrite, show)


def _register_toolkits(app: typer.Typer, show: Show) -> None:
    @app.command()
    def mmrec(
        interactions: Annotated[Path, typer.Option(help="name.inter")], out: Out, feature: Feature = None,
        missing: Missing = None, time_unit: TimeUnit = None, name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read MMRec's .inter and npy files with their split."""
        from .data.readers.mmrec import made_name, read_mmrec

        name = ready(out, overwrite, name, made_name(interactions))
        options = {"time_unit": time_unit, "missing": marks(missing), "name": name}
        _done(read_mmrec(interactions, features(feature), **options), out, overwrite, show)

    @app.command()
    def recbole(
        folder: Annotated[Path, typer.Option(help="Folder with name.inter and name.item.")], out: Out,
        feature: Feature = None,
        title: Annotated[str, typer.Option(help="Items' column of the title.")] = "title",
        text: Annotated[
            list[str] | None,
            typer.Option(
                metavar="COLUMN", help="Items' column of the text (text, or title and description); repeat to join."
            ),
        ] = None,
        time_unit: TimeUnit = None, missing: Missing = None, name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read RecBole's atomic files."""
        from .data.readers import read_recbole

        ready(out, overwrite)
        # Its files are called after the data set, so that no other name can be made up for it.
        check_name(name or folder.resolve().name, "recbole: rename the files and pass --name, for")
        options = {"title": title, "text": text or None, "time_unit": time_unit, "missing": marks(missing)}
        _done(read_recbole(folder, name, features(feature), **options), out, overwrite, show)

    @app.command()
    def mmssl(
        folder: Annotated[Path, typer.Option(help="Folder with trnMat.pkl, valMat.pkl, tstMat.pkl, *_feat.npy.")],
        out: Out, missing: Missing = None, name: Name = None, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        """Read MMSSL's and DiffMM's pickled splits; nothing in them is run."""
        from .data.readers import read_mmssl

        name = ready(out, overwrite, name, folder.resolve().name)
        _done(read_mmssl(folder, missing=marks(missing), name=name), out, overwrite, show)


def _lines(path: Path) -> list[str]:
    """A file's lines that are not empty; one may hold several words: "dark blue"."""
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _register_others(app: typer.Typer, show: Show) -> None:
    @app.command()
    def encode(
        source: Annotated[str, typer.Argument(metavar="DIR|bazaar", help="A folder that `prepare` wrote, or bazaar.")],
        out: Out,
        text: Annotated[str | None, typer.Option(help="'offline', a folder or a sentence-transformers name.")] = None,
        image: Annotated[str | None, typer.Option(help="'bazaar', local-dir:FOLDER or an open_clip name.")] = None,
        pretrained: Annotated[str | None, typer.Option(help="open_clip's tag or a checkpoint's path.")] = None,
        keywords: Annotated[int, typer.Option(min=0, help="Words a picture; 0 for none.")] = 15,
        vocabulary: Annotated[Path | None, typer.Option(help="Keywords are among these, one a line.")] = None,
        language: Annotated[str, typer.Option(help="ISO code, for where sentences end.")] = "en",
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
        batch_size: Annotated[int, typer.Option(min=1, help="Texts or pictures at a time.")] = 64,
        cache: Cache = None,
        overwrite: Overwrite = False,
    ) -> None:
        """Make features of a data set's texts and pictures."""
        from .features import ImageEncoder, TextEncoder, add_features

        if text is None and image is None:
            raise DataError("encode: name --text, --image or both.")
        ready(out, overwrite)
        texts = TextEncoder(text, device=device, batch_size=batch_size) if text else None
        images = ImageEncoder(image, pretrained, device=device, batch_size=batch_size) if image else None
        words = _lines(vocabulary) if vocabulary is not None else None
        data, report = add_features(
            load(source),
            texts,
            images,
            keywords=keywords,
            vocabulary=words,
            language=language,
            cache=cache,
            progress=True,
        )
        _done(data, out, overwrite, show)
        if images is not None and len(report.table()):
            typer.echo("\n" + report.table().to_string(index=False))

    @app.command()
    def download(
        source: Annotated[str, typer.Argument(help="amazon-2014, amazon-2018, amazon-2023, goodreads, movielens.")],
        out: Out,
        category: Annotated[str | None, typer.Option(help="Baby, Gift_Cards, poetry, ml-25m, ...")] = None,
        more: Annotated[
            list[str] | None,
            typer.Option(
                "--with", metavar="FILE", help="A further file: image_features (amazon-2014), reviews (goodreads)."
            ),
        ] = None,
    ) -> None:
        """Fetch a public set's files; resumes, and checks them where a checksum is published."""
        from tqdm.auto import tqdm

        from .data.download import SOURCES, fetch, published_md5, source_files

        addresses = source_files(source, category, more or [])
        known = SOURCES[source]
        if category is None and known.example:
            typer.echo(f"No --category was named: {known.example}, one of many; {known.page} lists them.", err=True)
        for address in addresses:
            checksum = published_md5(address + known.md5) if known.md5 else None
            with tqdm(unit="B", unit_scale=True, desc=address.rsplit("/", 1)[-1]) as bar:

                def report(done: int, total: int | None, bar: Any = bar) -> None:
                    bar.total = total
                    bar.update(done - bar.n)

                path = fetch(address, out, checksum=checksum, report=report)
            typer.echo(f"{path}  ({'checksum held' if checksum else 'no checksum is published'})")
        left = [name for name in known.more if name not in (more or [])]
        if left:
            typer.echo(f"Not fetched: {', '.join(left)}; ask for it by --with {left[0]}")
        typer.echo(f"Terms: {known.terms}. See {known.page}")

    @app.command()
    def export(
        source: Annotated[str, typer.Argument(metavar="DIR|bazaar", help="What to write.")],
        out: Out,
        to: Annotated[str, typer.Option(help="mmrec or recbole.")],
        protocol: Annotated[str | None, typer.Option(help="Split to write: ratio, leave-one-out, ...")] = None,
        seed: Annotated[int | None, typer.Option(help="Of the split; 0 unless given.")] = None,
    ) -> None:
        """Write a data set, or a split of it, for MMRec or RecBole."""
        from .data import split
        from .data.export import to_mmrec, to_recbole

        write = {"mmrec": to_mmrec, "recbole": to_recbole}.get(to)
        if write is None:
            raise DataError(f"--to {to}: there are mmrec and recbole.")
        if seed is not None and protocol is None:
            raise DataError(f"--seed {seed} goes with --protocol: without a split nothing is drawn.")
        data = load(source)
        typer.echo(f"Written to {write(data if protocol is None else split(data, protocol, seed=seed or 0), out)}")
