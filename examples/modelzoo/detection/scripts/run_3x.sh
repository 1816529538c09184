Knight --chip TX5368AV200 build --run-config data/detection_config.json
