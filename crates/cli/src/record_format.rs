//! The language that says how records stand in text: `%k`, `%v` and friends, as rpk and kcl have it.

mod base64;
mod number;
mod text;
mod time;
mod unpack;

mod syntax;

mod input_record;
mod kafka_formatter;
mod kafka_lines;
mod kcat;

mod input;
mod output;

pub use input::InputFormat;
pub use input_record::InputRecord;
pub use kafka_formatter::KafkaFormatter;
pub use kafka_lines::KafkaLines;
pub use output::{OutputFormat, Printed};

/// What both directions say about formats in their help.
pub const FORMAT_HELP: &str = "\
Fields   %t topic  %p partition  %o offset  %k key  %v value  %h headers  %e leader epoch
         %d timestamp (milliseconds)  %D timestamp (a date)  %x producer id  %y producer epoch
         %T %K %V sizes of topic, key and value  %H count of headers  %i number of the record from 1
         %[ log start  %| last stable offset  %] high watermark  %a attributes
         %% percent sign  %{ and %} braces  \\n \\t \\r \\0 \\\\ \\xHH characters
Numbers  {ascii} {hex64} {hex32} {hex16} {hex8} {hex4} {big64} {big32} {big16} {big8} {little64}
         {little32} {little16} {little8} {byte} {bool}: %p{hex8}, %V{big32}%v
Bytes    {hex} {base64} {base64raw} {json} {unpack[<bBhHiIqQc.xs$]}: %k{hex}, %v{unpack[>I]}
Time     %d{strftime[%F %T]}, %d{go[2006-01-02T15:04:05Z07:00]}, or as a number
Headers  a format for each of them, in which %k and %v are the header's: %h{ %k=%v{hex} }
Attributes  %a{compression} %a{timestamp-type} %a{transactional-bit} %a{control-bit}, each with a
         number's form behind a semicolon: %a{compression;hex8}";
