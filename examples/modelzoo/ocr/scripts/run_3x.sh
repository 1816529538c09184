Knight --chip TX5368AV200 build --run-config data/ocr_config.json
