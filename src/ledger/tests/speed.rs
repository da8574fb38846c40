//! By hand: `cargo nextest run --release --run-ignored only ledger::tests::speed --no-capture`.

use tokio::time::Instant;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, by hand"]
async fn samples_a_second_and_the_time_to_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger =
        Arc::new(open(Options { linger: Duration::from_millis(100), ..options(dir.path()) }));
    let (points, rounds) = (10_000, 10);
    for round in 0..rounds {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let ledger = Arc::clone(&ledger);
                tokio::spawn(async move {
                    let records = (0..points).filter(|n| n % 16 == task).map(|n| {
                        ledger.record(sample_of(
                            &format!("{n}.test"),
                            round * 60,
                            Some(&["TLSv1.3"]),
                        ))
                    });
                    for receipt in futures_util::future::join_all(records).await {
                        receipt.expect("a receipt");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task");
        }
        println!(
            "round {round}: {:.0} samples/s",
            f64::from(points) / begun.elapsed().as_secs_f64()
        );
    }
    ledger.close().await.expect("closed");
    drop(ledger);
    let begun = Instant::now();
    let ledger = open(options(dir.path()));
    println!("opened {points} points in {:?}", begun.elapsed());
    ledger.close().await.expect("closed");
    let begun = Instant::now();
    let report = assert_whole(dir.path());
    println!("verified {} samples in {:?}", report.samples, begun.elapsed());
    let bytes = std::fs::metadata(dir.path().join(FILE)).expect("the file").len();
    println!("{} bytes a sample", bytes / report.samples);
}
