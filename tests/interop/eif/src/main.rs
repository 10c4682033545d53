// eif-peer measure IMAGE            what the library makes of an image, as JSON
// eif-peer write OUT x86_64|arm64 KERNEL "COMMAND LINE" METADATA.json KEY|- CERTIFICATE|- RAMDISK…
use aws_nitro_enclaves_image_format::defs::EIF_HDR_ARCH_ARM64;
use aws_nitro_enclaves_image_format::utils::{eif_reader::EifReader, get_pcrs, EifBuilder, SignEnclaveInfo};
use serde_json::json;
use sha2::{Digest, Sha384};
use std::{env, fs::File, path::Path, process::exit};

fn measure(path: &str) -> Result<String, String> {
    let mut image = EifReader::from_eif(path.to_string())?;
    let signed = image.signature_section.is_some();
    let crc = image.check_crc();
    let pcrs = get_pcrs(
        &mut image.image_hasher,
        &mut image.bootstrap_hasher,
        &mut image.app_hasher,
        &mut image.cert_hasher,
        Sha384::new(),
        signed,
    )?;
    let certificate = match signed {
        true => Some(image.get_certificate_info(pcrs.clone())?),
        false => None,
    };
    let header = image.get_header();
    Ok(json!({
        "Measurements": pcrs, "CheckCRC": crc, "SigningCertificate": certificate, "SignatureCheck": image.sign_check,
        "Flags": header.flags, "EifVersion": header.version, "Metadata": image.get_metadata(),
    })
    .to_string())
}

fn write(out: &str, words: &[String]) -> Result<String, String> {
    let [architecture, kernel, command_line, metadata, key, certificate, ramdisks @ ..] = words else {
        return Err("usage: see main.rs".to_string());
    };
    let metadata = File::open(metadata).map_err(|e| e.to_string())?;
    let metadata = serde_json::from_reader(metadata).map_err(|e| e.to_string())?;
    let signer = match key.as_str() {
        "-" => None,
        _ => Some(SignEnclaveInfo::new(certificate, key)?),
    };
    let flags = if architecture == "arm64" { EIF_HDR_ARCH_ARM64 } else { 0 };
    let kernel = Path::new(kernel);
    let mut builder = EifBuilder::new(kernel, command_line.clone(), signer, Sha384::new(), flags, metadata);
    for ramdisk in ramdisks {
        builder.add_ramdisk(Path::new(ramdisk));
    }
    // The library writes and then reads the same descriptor.
    let file = File::options().read(true).write(true).create(true).truncate(true).open(out);
    let pcrs = builder.write_to(&mut file.map_err(|e| e.to_string())?);
    Ok(json!({ "Measurements": pcrs }).to_string())
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let done = match words.as_slice() {
        [verb, image] if verb == "measure" => measure(image),
        [verb, out, rest @ ..] if verb == "write" => write(out, rest),
        _ => Err("usage: see main.rs".to_string()),
    };
    match done {
        Ok(text) => println!("{text}"),
        Err(why) => {
            eprintln!("eif-peer: {why}");
            exit(1)
        }
    }
}
