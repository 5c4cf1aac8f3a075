use std::io::Write;

use proptest::prelude::*;

use super::*;

fn limits() -> Limits {
    Limits { record_bytes_max: 40, ..Limits::default() }
}

fn compressed(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
            gzip.write_all(body).unwrap();
            gzip.finish().unwrap()
        }
        Encoding::Zstd => zstd::encode_all(body, 1).unwrap(),
    }
}

type Lines = Vec<(u64, Vec<u8>)>;

/// All non-blank lines with their numbers, and the numbers of what was rejected; lines past the
/// limit count as rejected wherever it is found.
fn read(
    mut reader: BodyReader,
    limits: &Limits,
    pieces: &[&[u8]],
) -> Result<(Lines, Vec<u64>), BodyError> {
    let (mut lines, mut rejected) = (vec![], vec![]);
    let mut take = |reader: &mut BodyReader| -> Result<(), BodyError> {
        while let Some(block) = reader.next_block()? {
            for (line, bytes) in (block.first_line..).zip(block.bytes.split(|b| *b == b'\n')) {
                match bytes.len() > limits.record_bytes_max {
                    true => rejected.push(line),
                    false if bytes.trim_ascii().is_empty() => {}
                    false => lines.push((line, bytes.to_vec())),
                }
            }
            rejected.extend(block.rejections.iter().map(|r| r.line));
        }
        Ok(())
    };
    for piece in pieces {
        reader.push(piece);
        take(&mut reader)?;
    }
    reader.finish();
    take(&mut reader)?;
    rejected.sort_unstable();
    Ok((lines, rejected))
}

fn whole(body: &[u8]) -> (Lines, Vec<u64>) {
    let limits = limits();
    read(BodyReader::new(Encoding::Identity, &limits), &limits, &[body]).unwrap()
}

/// Pieces of a body, cut at the given places.
fn cut<'a>(body: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = at.iter().map(|at| at.index(body.len() + 1)).collect();
    places.extend([0, body.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("{\"a\":1}".to_owned()),
        Just(String::new()),
        Just("  ".to_owned()),
        Just("x\r".to_owned()),
        "[a-z]{30,90}",
        Just("{\"s\":\"],[{\\\"\"}".to_owned()),
        Just("[1,[2],{\"b\":[]}]".to_owned()),
    ];
    let lines = prop::collection::vec(line, 0..12);
    let joint = prop::sample::select(vec!["\n", "\r\n", ",", ",\n ", "]"]);
    let head = prop::sample::select(vec!["", "\u{feff}", "[", "\u{feff} [", "\n\n", "\n["]);
    let tail = prop::sample::select(vec!["", "\n", "]", "]\n", ",]", "] x"]);
    (head, lines, joint, tail).prop_map(|(head, lines, joint, tail)| {
        format!("{head}{}{tail}", lines.join(joint)).into_bytes()
    })
}

proptest! {
    #[test]
    fn a_body_cut_anywhere_in_any_encoding_is_the_same_body(
        body in bodies(),
        encoding in prop::sample::select(vec![Encoding::Identity, Encoding::Gzip, Encoding::Zstd]),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        block_bytes in 1_usize..100,
    ) {
        let sent = compressed(encoding, &body);
        let limits = limits();
        let reader = BodyReader::new(encoding, &limits).with_block_bytes(block_bytes);
        let in_pieces = read(reader, &limits, &cut(&sent, &at)).unwrap();
        prop_assert_eq!(in_pieces, whole(&body));
    }

    #[test]
    fn a_compressed_body_that_is_cut_is_an_error(body in bodies(), gzip in any::<bool>(), at in any::<prop::sample::Index>()) {
        let encoding = if gzip { Encoding::Gzip } else { Encoding::Zstd };
        let sent = compressed(encoding, &body);
        let sent = &sent[..1 + at.index(sent.len() - 1)];
        let limits = limits();
        let result = read(BodyReader::new(encoding, &limits), &limits, &[sent]);
        prop_assert!(matches!(result, Err(BodyError::Corrupt { .. })), "{:?}", result);
    }
}

fn lines(body: &str) -> (Vec<(u64, String)>, Vec<u64>) {
    let (lines, rejected) = whole(body.as_bytes());
    let text = |(line, bytes)| (line, String::from_utf8(bytes).unwrap());
    (lines.into_iter().map(text).collect(), rejected)
}

#[test]
fn elements_of_an_array_are_lines() {
    let (elements, rejected) = lines("\u{feff}\n [{\"a\":\n [1, \"],\"]} , 2,{\"b\\\"\":{}}]\n");
    let expected = [(1, "{\"a\":  [1, \"],\"]} "), (2, "2"), (3, "{\"b\\\"\":{}}")];
    assert_eq!(elements, expected.map(|(line, text)| (line, text.to_owned())));
    assert!(rejected.is_empty());
}

#[test]
fn what_is_wrong_with_an_array_is_said_once() {
    for (body, elements, rejected) in [
        ("[]", 0, vec![]),
        ("[1,2", 2, vec![3]),
        ("[1,", 1, vec![2]),
        ("[1,,2]", 2, vec![2]),
        ("[1,]", 1, vec![2]),
        ("[1] 2 3", 1, vec![2]),
        ("[", 0, vec![1]),
        ("[{\"a\":[1}, 2", 1, vec![]),
    ] {
        let found = lines(body);
        assert_eq!((found.0.len(), found.1), (elements, rejected), "{body}");
    }
}

#[test]
fn a_long_line_is_dropped_and_named() {
    let limits = limits();
    let body = format!("a\n{}\nb\n{}", "x".repeat(100), "y".repeat(41));
    let mut reader = BodyReader::new(Encoding::Identity, &limits).with_block_bytes(8);
    let mut rejections = vec![];
    for piece in body.as_bytes().chunks(5) {
        reader.push(piece);
        while let Some(block) = reader.next_block().unwrap() {
            rejections.extend(block.rejections);
        }
    }
    reader.finish();
    while let Some(block) = reader.next_block().unwrap() {
        rejections.extend(block.rejections);
    }
    let shown: Vec<_> = rejections.iter().map(|r| format!("{}: {}", r.line, r.reason)).collect();
    assert_eq!(
        shown,
        [
            "2: record of 100 bytes is longer than the limit of 40 bytes",
            "4: record of 41 bytes is longer than the limit of 40 bytes",
        ]
    );
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let body = vec![b'\n'; 64 << 20];
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let limits = Limits { body_bytes_max: 1 << 20, ..Limits::default() };
        let mut reader = BodyReader::new(encoding, &limits);
        reader.push(&compressed(encoding, &body));
        let mut given = 0;
        let error = loop {
            match reader.next_block() {
                Ok(block) => given += block.expect("an error before the end").bytes.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error, BodyError::TooLarge { max: 1 << 20 });
        assert!(given <= 1 << 20);
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    for encoding in [Encoding::Gzip, Encoding::Zstd] {
        let sent = [compressed(encoding, b"a\nb"), compressed(encoding, b"c\n")].concat();
        let limits = limits();
        let found = read(BodyReader::new(encoding, &limits), &limits, &[&sent]).unwrap();
        assert_eq!(found.0, [(1, b"a".to_vec()), (2, b"bc".to_vec())], "{encoding:?}");
        let nothing = read(BodyReader::new(encoding, &limits), &limits, &[]).unwrap();
        assert!(nothing.0.is_empty());
    }
}
