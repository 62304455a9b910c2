//! The store's file as another program sees it.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

async fn connect(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .foreign_keys(false);
    SqliteConnection::connect_with(&options)
        .await
        .expect("the file can be opened")
}

/// Runs SQL on the file, which is made where it is missing.
pub(crate) async fn execute(file: &Path, sql: &str) {
    let mut connection = connect(file).await;
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql)
        .execute(&mut connection)
        .await
        .expect("the SQL is right");
    connection.close().await.expect("the file can be closed");
}

/// The one number that a query gives.
pub(crate) async fn number(file: &Path, sql: &str) -> i64 {
    let mut connection = connect(file).await;
    let sql = AssertSqlSafe(sql.to_owned());
    let found = sqlx::query_scalar(sql)
        .fetch_one(&mut connection)
        .await
        .expect("the SQL is right");
    connection.close().await.expect("the file can be closed");
    found
}
