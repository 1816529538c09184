Knight --chip TX5368AV200 build --run-config data/classification_config.json
